//! Writers: every way in which Linux lets content change, most of them without an event.
//!
//! In: mappings, asynchronous and direct I/O, rings, loop devices, other mounts. Out: the next restore point has what was written. Never: a call that would tell the
//! kernel about a store (msync), or a writer that ends in order.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;

use repository::point::Outcome;

use crate::mounted::{Kind, Volume, can_mount, text};
use crate::program::{HALTED_BYTES, HaltedWrite, Mapper, fio, run, shell};
use crate::protected::Protected;
use crate::stamp::stamp;

/// Written in one go, so that it lies in large folios, and large enough that the kernel maps it at an address at which a fault can take in a whole folio (Linux 6.18).
const MAPPED_BYTES: usize = 4 << 20;

/// A volume with one file of `a`.
fn with_file(kind: Kind, length: usize) -> Volume {
    let volume = Volume::new(kind);
    std::fs::write(volume.at("file"), vec![b'a'; length]).expect("a file");
    shell(&volume.root(), "sync -f .");
    volume
}

fn byte(protected: &Protected, volume: &Volume, offset: usize) -> char {
    let report = protected.back_up(&volume.root());
    char::from(protected.content(&report, "file").expect("the file is there")[offset])
}

/// Two stores with a backup between them: to a page each, or to the same page.
fn stores_are_seen(kind: Kind, pages: [usize; 2]) {
    let volume = with_file(kind, MAPPED_BYTES);
    let [first, second] = pages.map(|page| page * 4096);
    let mut mapper = Mapper::of(&volume.root(), MAPPED_BYTES);

    mapper.store(first, 'b');
    let dirty = stamp(&volume.at("file"));
    mapper.store(second, 'b');
    assert_eq!(stamp(&volume.at("file")), dirty, "{kind:?}: this kernel shows the store, and the test shows nothing");

    let protected = Protected::new();
    assert_eq!(byte(&protected, &volume, second), 'b', "{kind:?}: the store before the first backup");
    mapper.store(second, 'c');
    assert_eq!(byte(&protected, &volume, second), 'c', "{kind:?}: the store after it");
    mapper.store(first, 'd');
    mapper.store(second, 'd');
    drop(mapper);
    assert_eq!(byte(&protected, &volume, second), 'd', "{kind:?}: the last store of a process that was killed");
    assert_eq!(byte(&protected, &volume, first), 'd', "{kind:?}");
}

#[test]
fn a_store_to_a_mapping_of_a_closed_file_is_seen_although_the_page_was_dirty() {
    if can_mount() {
        Kind::ON_DISK.into_iter().for_each(|kind| stores_are_seen(kind, [0, 0]));
    }
}

#[test]
fn a_store_to_another_page_of_a_dirty_folio_is_seen() {
    if can_mount() {
        stores_are_seen(Kind::Xfs, [0, 1]);
    }
}

#[test]
fn on_a_tmpfs_where_no_stamp_shows_a_store_everything_is_read() {
    if can_mount() {
        stores_are_seen(Kind::Tmpfs, [0, 0]);
    }
}

/// Writes with an engine of fio while the file stays open, so that not even a close tells of it.
fn engine_is_seen(engine: &[&str], kinds: &[Kind]) {
    for kind in kinds {
        let volume = with_file(*kind, MAPPED_BYTES);
        let protected = Protected::new();
        let _open = File::options().read(true).write(true).open(volume.at("file")).expect("the file opens");
        protected.back_up(&volume.root());
        fio(&volume.at("file"), engine, 8192, 4096, b'b');
        assert_eq!(byte(&protected, &volume, 8192 + 4095), 'b', "{kind:?}, {engine:?}");
    }
}

#[test]
fn asynchronous_direct_and_buffered_writes_are_seen() {
    if can_mount() {
        engine_is_seen(&["--ioengine=libaio", "--direct=1"], &Kind::ON_DISK);
        engine_is_seen(&["--ioengine=libaio", "--direct=0"], &[Kind::Ext4, Kind::Tmpfs]);
    }
}

#[test]
fn writes_through_a_ring_with_registered_files_and_buffers_are_seen() {
    if can_mount() {
        engine_is_seen(&["--ioengine=io_uring", "--registerfiles=1", "--fixedbufs=1"], &Kind::ALL);
    }
}

#[test]
fn what_is_written_inside_of_a_disk_image_that_is_mounted_is_seen() {
    if !can_mount() {
        return;
    }
    for kind in Kind::ALL {
        let (volume, protected) = (Volume::new(kind), Protected::new());
        let inside = tests::folder::Folder::new("inside");
        shell(&volume.root(), "truncate -s 32M disk && mkfs.ext4 -q -F disk");
        run("mount", &["-o", "loop", text(&volume.at("disk")), text(inside.path())]);
        let before = protected.back_up(&volume.root());
        shell(inside.path(), "head -c 100000 /dev/zero | tr '\\0' n > needle && sync -f .");
        let during = protected.back_up(&volume.root());
        run("umount", &[text(inside.path())]);
        let after = protected.back_up(&volume.root());
        let has = |report| {
            let disk = protected.content(report, "disk").expect("the image");
            disk.windows(4096).step_by(512).any(|page| page.iter().all(|byte| *byte == b'n'))
        };
        assert_eq!((has(&before), has(&during), has(&after)), (false, true, true), "{kind:?}");
        let disk = std::fs::read(volume.at("disk")).expect("the image");
        assert!(protected.content(&after, "disk") == Some(disk), "{kind:?}: the image is not what it was");
    }
}

/// One write(2) has one stamp, set when it begins; what a backup read before it ended must not pass for what it wrote.
#[test]
fn a_large_write_that_goes_on_while_it_is_read_is_read_again() {
    if !can_mount() {
        return;
    }
    // On xfs a reader waits for the writer.
    for kind in [Kind::Ext4, Kind::Btrfs] {
        let volume = with_file(kind, HALTED_BYTES);
        // By this clock the stamp is older than the two seconds that are never believed: only the question who writes saves us.
        let protected = Protected::ahead(3);
        protected.back_up(&volume.root());
        let before = stamp(&volume.at("file"));
        let halted = HaltedWrite::begin(&volume.root());
        let begun = stamp(&volume.at("file"));
        assert_ne!(begun.ctime, before.ctime, "{kind:?}");
        let during = protected.back_up(&volume.root());
        halted.end();
        assert_eq!(
            stamp(&volume.at("file")),
            begun,
            "{kind:?}: this kernel stamps the end, and the test shows nothing"
        );
        let after = protected.back_up(&volume.root());
        let last = |report| protected.content(report, "file").expect("the file")[HALTED_BYTES - 1];
        assert_eq!(
            (last(&during), last(&after)),
            (b'a', b'b'),
            "{kind:?}: what was read during the write, and after it"
        );
    }
}

#[test]
fn writes_through_an_overlay_another_mount_and_another_namespace_are_seen() {
    if !can_mount() {
        return;
    }
    for kind in Kind::ON_DISK {
        let (volume, protected) = (Volume::new(kind), Protected::new());
        let elsewhere = tests::folder::Folder::new("elsewhere");
        let there = text(elsewhere.path()).to_owned();
        shell(&volume.root(), "mkdir lower upper work && echo lower > lower/file && echo old > file && sync -f .");
        protected.back_up(&volume.root());

        run("mount", &["--bind", text(&volume.root()), &there]);
        std::fs::write(elsewhere.path().join("file"), "bind").expect("a write");
        run("umount", &[&there]);
        let report = protected.back_up(&volume.root());
        assert_eq!(protected.content(&report, "file").as_deref(), Some(&b"bind"[..]), "{kind:?}");

        let root = text(&volume.root()).to_owned();
        let private = format!("mount --bind '{root}' '{there}' && printf space > '{there}/file'");
        run("unshare", &["--mount", "--propagation", "private", "bash", "-c", &private]);
        let report = protected.back_up(&volume.root());
        assert_eq!(protected.content(&report, "file").as_deref(), Some(&b"space"[..]), "{kind:?}");

        let layers = format!("lowerdir={root}/lower,upperdir={root}/upper,workdir={root}/work");
        run("mount", &["-t", "overlay", "-o", &layers, "overlay", &there]);
        shell(elsewhere.path(), "printf over > file && printf new > new");
        let during = protected.try_back_up(&volume.root(), &protected.options()).expect("a backup");
        run("umount", &[&there]);
        assert_eq!(during.outcome, Outcome::Complete, "{:?}", during.not_captured);
        assert_eq!(protected.content(&during, "upper/file").as_deref(), Some(&b"over"[..]), "{kind:?}");
        assert_eq!(protected.content(&during, "upper/new").as_deref(), Some(&b"new"[..]), "{kind:?}");
    }
}

/// A descriptor that was opened before the file had a name, or that is passed on, writes as any other.
#[test]
fn a_file_without_a_name_is_seen_once_it_has_one_and_what_is_written_then() {
    if !can_mount() {
        return;
    }
    for kind in Kind::ALL {
        let (volume, protected) = (Volume::new(kind), Protected::new());
        let unnamed = nix::fcntl::open(
            &volume.root(),
            nix::fcntl::OFlag::O_TMPFILE | nix::fcntl::OFlag::O_RDWR,
            nix::sys::stat::Mode::from_bits_truncate(0o600),
        );
        let mut unnamed = File::from(unnamed.expect("a file without a name"));
        unnamed.write_all(&[b'a'; 5000]).expect("a write");
        let report = protected.back_up(&volume.root());
        assert_eq!(protected.content(&report, "file"), None, "{kind:?}");
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&unnamed));
        let follow = nix::fcntl::AtFlags::AT_SYMLINK_FOLLOW;
        nix::unistd::linkat(nix::fcntl::AT_FDCWD, path.as_str(), nix::fcntl::AT_FDCWD, &volume.at("file"), follow)
            .expect("a name");
        let report = protected.back_up(&volume.root());
        assert_eq!(protected.content(&report, "file"), Some(vec![b'a'; 5000]), "{kind:?}");
        unnamed.write_all_at(b"b", 4999).expect("a write");

        let report = protected.back_up(&volume.root());
        assert_eq!(protected.content(&report, "file").map(|content| content[4999]), Some(b'b'), "{kind:?}");
    }
}
