//! Large: deeper, longer and more than paths, descriptors and memory are made for.
//!
//! In: a tree that no path can name, files of which nearly nothing exists, a directory of a million names. Out: the same after a restore. Never: time or memory by the
//! size of what does not exist.

use std::fs::File;
use std::os::unix::fs::FileExt;

use repository::point::Outcome;

use crate::compare::{account, assert_as_sparse};
use crate::mounted::{Kind, Volume, can_mount};
use crate::program::{run, shell};
use crate::protected::Protected;

/// The path is 10,000 bytes long at its end.
#[test]
fn a_tree_deeper_than_a_path_can_say_comes_back() {
    if !can_mount() {
        return;
    }
    let dig = "import os, sys; os.chdir(sys.argv[1]); \
               [(os.mkdir('ddd', 0o750), os.chdir('ddd'), os.utime('.', ns=(1, 10**18 + at))) for at in range(2500)]; \
               open('bottom', 'w').write('reached')";
    let listed = r"find . ! -name lost+found -printf '%d %f %m %s\n' | grep -v ' ddd 750 ' ; find . -name ddd -printf '%d %m %T@\n'";
    for kind in [Kind::Ext4, Kind::Btrfs] {
        let (volume, target, protected) = (Volume::new(kind), Volume::new(kind), Protected::new());
        run("python3", &["-c", dig, volume.root().to_str().expect("UTF-8")]);
        let report = protected.back_up(&volume.root());
        let restored = protected.restore(&report, &target.root(), true).expect("a restore");
        assert_eq!(restored.outcome, Outcome::Complete, "{kind:?}: {:?}", restored.failed);
        let (before, after) = (shell(&volume.root(), listed), shell(&target.root(), listed));
        assert!(before.lines().count() > 2500 && before.contains("2501 bottom"), "{kind:?}");
        assert!(depths(&before) == depths(&after), "{kind:?}: what was restored is not what was backed up");
    }
}

/// Lines without what differs between two filesystems: the size of a directory.
fn depths(listed: &str) -> Vec<&str> {
    listed.lines().filter(|line| !line.starts_with("0 ")).collect()
}

#[test]
fn a_file_of_sixteen_terabytes_of_nothing_is_small_in_every_way() {
    if !can_mount() {
        return;
    }
    for kind in Kind::ALL {
        let (volume, target, protected) = (Volume::new(kind), Volume::new(kind), Protected::new());
        let bytes: u64 = match kind {
            // The most that ext4 has.
            Kind::Ext4 => (16 << 40) - 4096,
            _ => 16 << 40,
        };
        let file = File::create(volume.at("sparse")).expect("a file");
        file.set_len(bytes).expect("a length");
        let places = [0, bytes / 2 + 12_345, bytes - 4096];
        places.into_iter().for_each(|at| file.write_all_at(b"data", at).expect("some data"));
        let report = protected.back_up(&volume.root());
        // At most the block of each piece of data.
        assert!(report.statistics.bytes_read <= 3 << 20, "{kind:?}: {} bytes read", report.statistics.bytes_read);
        assert!(report.statistics.bytes_stored < 1 << 16, "{kind:?}: {} stored", report.statistics.bytes_stored);
        let restored = protected.restore(&report, &target.root(), true).expect("a restore");
        assert_eq!(restored.outcome, Outcome::Complete, "{kind:?}: {:?}", restored.failed);
        account(&volume.root()).assert_same(&target.root(), &format!("{kind:?}"));
        assert_as_sparse(&volume.root(), &target.root());
        // One page more is one page read, wherever it is.
        file.write_all_at(b"more", bytes / 3).expect("some data");
        let next = protected.back_up(&volume.root());
        assert!(next.statistics.bytes_stored < 1 << 16, "{kind:?}: {} stored", next.statistics.bytes_stored);
        protected.restore(&next, &target.root(), true).expect("a restore");
        account(&volume.root()).assert_same(&target.root(), &format!("{kind:?}, one page more"));
    }
}

/// Minutes: only with `HOLDFAST_TEST_ALL=1`.
#[test]
fn a_directory_of_a_million_names_comes_back() {
    if std::env::var_os("HOLDFAST_TEST_ALL").is_none_or(|value| value.is_empty() || value == "0") {
        println!("SKIP a million names: only with HOLDFAST_TEST_ALL=1");
        return;
    }
    if !can_mount() {
        return;
    }
    let (volume, target, protected) = (Volume::new(Kind::Tmpfs), Volume::new(Kind::Tmpfs), Protected::new());
    for volume in [&volume, &target] {
        shell(&volume.root(), "mount -o remount,nr_inodes=0,size=4g .");
    }
    let make = "import os, sys; os.chdir(sys.argv[1]); [os.close(os.open(str(at), os.O_CREAT)) for at in range(10**6)]";
    run("python3", &["-c", make, volume.root().to_str().expect("UTF-8")]);
    let report = protected.back_up(&volume.root());
    assert_eq!(report.statistics.entries, 1_000_001);
    let restored = protected.restore(&report, &target.root(), false).expect("a restore");
    assert_eq!((restored.outcome, restored.entries), (Outcome::Complete, 1_000_001));
    let listed = r"find . -mindepth 1 -printf '%P %T@ %m\n' | sort | sha256sum";
    assert_eq!(shell(&volume.root(), listed), shell(&target.root(), listed));
}
