//! Names: what stands under a name is not what stood there, or was changed under another.
//!
//! In: renames, exchanges, links, trees that come and go. Out: the next restore point has what a reader finds. Never: a difference in size or time of modification that
//! would give it away.

use std::fs;
use std::path::Path;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use repository::source::SourceError;
use volume::open_source;

use crate::mounted::{Kind, Volume, can_mount};
use crate::program::shell;
use crate::protected::Protected;
use crate::stamp::stamp;

const FILE_BYTES: usize = 70_000;

/// A file of one byte over and over, as old as all the others.
fn write(path: &Path, byte: u8) {
    fs::write(path, vec![byte; FILE_BYTES]).expect("a file");
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_500_000_000);
    fs::File::options().write(true).open(path).and_then(|file| file.set_modified(time)).expect("a time");
}

/// Every byte of a file, if it is there.
fn byte(protected: &Protected, root: &Path, name: &str) -> Option<u8> {
    let report = protected.back_up(root);
    assert_eq!(report.proof.silent_changes, 0, "names and stamps tell");
    let content = protected.content(&report, name)?;
    assert!(content.iter().all(|byte| *byte == content[0]) && content.len() == FILE_BYTES, "{name} is a mixture");
    Some(content[0])
}

#[test]
fn a_file_that_takes_the_place_of_another_of_its_size_and_time_is_seen() {
    if !can_mount() {
        return;
    }
    for kind in Kind::ALL {
        let (volume, protected) = (Volume::new(kind), Protected::new());
        let (a, b) = (volume.at("a"), volume.at("b"));
        write(&a, b'a');
        write(&b, b'b');
        assert_eq!(byte(&protected, &volume.root(), "a"), Some(b'a'));

        renameat2(AT_FDCWD, &a, AT_FDCWD, &b, RenameFlags::RENAME_EXCHANGE).expect("an exchange");
        assert_eq!(stamp(&a).size_and_mtime(), stamp(&b).size_and_mtime());
        assert_eq!(byte(&protected, &volume.root(), "a"), Some(b'b'), "{kind:?}: exchanged");
        assert_eq!(byte(&protected, &volume.root(), "b"), Some(b'a'), "{kind:?}: exchanged");

        write(&volume.at("c"), b'c');
        fs::rename(volume.at("c"), &a).expect("a rename");
        assert_eq!(byte(&protected, &volume.root(), "a"), Some(b'c'), "{kind:?}: renamed over");
        assert_eq!(byte(&protected, &volume.root(), "c"), None, "{kind:?}");
    }
}

/// ext4 gives the number of a file that was removed to the next one.
#[test]
fn a_new_file_with_the_inode_number_of_an_old_one_is_seen() {
    if !can_mount() {
        return;
    }
    let (volume, protected) = (Volume::new(Kind::Ext4), Protected::new());
    let file = volume.at("file");
    write(&file, b'a');
    assert_eq!(byte(&protected, &volume.root(), "file"), Some(b'a'));
    let before = stamp(&file);
    let is_recycled = (0..1000).any(|_| {
        fs::remove_file(&file).expect("it is removed");
        write(&file, b'b');
        stamp(&file).inode == before.inode
    });
    assert!(is_recycled, "the number does not come again, and the test shows nothing");
    assert_eq!(stamp(&file).size_and_mtime(), before.size_and_mtime());
    assert_eq!(byte(&protected, &volume.root(), "file"), Some(b'b'));
}

#[test]
fn a_write_through_a_name_outside_of_what_is_backed_up_is_seen() {
    if !can_mount() {
        return;
    }
    for kind in Kind::ALL {
        let (volume, protected) = (Volume::new(kind), Protected::new());
        let root = volume.at("inside");
        shell(&volume.root(), "mkdir inside outside");
        write(&root.join("file"), b'a');
        fs::hard_link(root.join("file"), volume.at("outside/link")).expect("a link");
        assert_eq!(byte(&protected, &root, "file"), Some(b'a'), "{kind:?}");
        write(&volume.at("outside/link"), b'b');
        assert_eq!(byte(&protected, &root, "file"), Some(b'b'), "{kind:?}");
    }
}

#[test]
fn a_tree_that_is_moved_in_is_read_although_its_files_are_older_than_the_last_backup() {
    if !can_mount() {
        return;
    }
    for kind in Kind::ALL {
        let (volume, protected) = (Volume::new(kind), Protected::new());
        let root = volume.at("inside");
        shell(&volume.root(), "mkdir inside inside/tree outside outside/tree");
        write(&volume.at("inside/tree/file"), b'a');
        write(&volume.at("outside/tree/file"), b'b');
        let before = stamp(&volume.at("outside/tree/file"));
        assert_eq!(byte(&protected, &root, "tree/file"), Some(b'a'), "{kind:?}");
        shell(&volume.root(), "mv inside/tree away && mv outside/tree inside/tree");
        assert_eq!(
            stamp(&volume.at("inside/tree/file")),
            before,
            "{kind:?}: the move shows, and the test shows nothing"
        );
        assert_eq!(byte(&protected, &root, "tree/file"), Some(b'b'), "{kind:?}");
        shell(&volume.root(), "mv inside/tree outside/tree");
        assert_eq!(byte(&protected, &root, "tree/file"), None, "{kind:?}");
        shell(&volume.root(), "mv away inside/other");
        assert_eq!(byte(&protected, &root, "other/file"), Some(b'a'), "{kind:?}");
    }
}

/// Whatever takes the place of a file between looking and opening is neither opened nor followed.
#[test]
fn what_takes_the_place_of_a_file_before_it_is_opened_is_not_opened() {
    if !can_mount() {
        return;
    }
    let replacements = ["ln -s /etc/shadow file", "mkfifo file", "mknod file c 1 5", "mknod file b 7 0", "mkdir file"];
    for kind in Kind::ALL {
        let (volume, protected) = (Volume::new(kind), Protected::new());
        for replacement in replacements {
            write(&volume.at("file"), b'a');
            let source = open_source(&volume.root(), &protected.options()).expect("a source");
            let directory = source.directory(&[]).expect("the root");
            let stat = directory.stat(b"file").expect("a stat").expect("the file");
            shell(&volume.root(), &format!("mv file away && {replacement}"));
            assert!(matches!(directory.open(b"file", &stat), Err(SourceError::Gone { .. })), "{kind:?}, {replacement}");
            let attributes = directory.attributes(b"file", &stat);
            assert!(matches!(attributes, Err(SourceError::Gone { .. })), "{kind:?}, {replacement}");
            shell(&volume.root(), "rm -r file away");
        }
    }
}
