//! What the kernel prints, what it might print, and what it never prints.

use proptest::prelude::*;

use super::*;

fn only(line: &[u8]) -> Mount {
    let mounts = Mounts::parse(line);
    assert_eq!(mounts.unreadable(), 0);
    mounts.all()[0].clone()
}

/// A line; the root and the mount point in it; type, source and what cannot be written to.
type Row = (&'static [u8], &'static [u8], &'static [u8], &'static str);

#[test]
fn lines_of_real_kernels_are_read() {
    let table: [Row; 8] = [
        (
            b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue",
            b"/mnt1",
            b"/mnt2",
            "ext3 /dev/root",
        ),
        (b"36 35 98:0 / / ro - xfs /dev/sda ro", b"/", b"/", "xfs /dev/sda read-only wholly"),
        (b"36 35 98:0 / / rw - xfs /dev/sda ro", b"/", b"/", "xfs /dev/sda wholly"),
        (
            b"36 35 98:0 / / ro shared:7 master:1 propagate_from:2 unbindable - xfs /dev/sda rw",
            b"/",
            b"/",
            "xfs /dev/sda read-only",
        ),
        (
            b"36 35 0:98 / /a\\040b\\011c\\012d\\134e\\043f rw - fuse.x\\040y so\\134urce rw",
            b"/",
            b"/a b\tc\nd\\e#f",
            "fuse.x y so\\urce",
        ),
        (b"36 35 0:98 /\xff\xfe /\xc3 rw - tmpfs  rw", b"/\xff\xfe", b"/\xc3", "tmpfs "),
        (b"36 35 0:98 / /nfs rw - nfs4 10.0.0.1:/a rw,vers=4.2,ro_is_no_option", b"/", b"/nfs", "nfs4 10.0.0.1:/a"),
        (b"36 35 0:98 / /x\\9zz\\400\\04 rw - t s rw", b"/", b"/x\\9zz\\400\\04", "t s"),
    ];
    for (line, root, point, rest) in table {
        let mount = only(line);
        let text = String::from_utf8_lossy(line);
        assert_eq!((mount.root.as_os_str().as_bytes(), mount.point.as_os_str().as_bytes()), (root, point), "{text}");
        let mut found = String::from_utf8([mount.fs_type, b" ".to_vec(), mount.source].concat()).unwrap();
        found.push_str(if mount.read_only { " read-only" } else { "" });
        found.push_str(if mount.super_read_only { " wholly" } else { "" });
        assert_eq!(found, rest, "{text}");
    }
}

#[test]
fn a_line_that_cannot_be_read_is_counted_and_costs_no_other() {
    let table = [
        "",
        "x",
        "36 35 98:0 / /a rw",
        "36 35 98:0 / /a rw - ext4",
        "36 35 98 / /a rw - ext4 s rw",
        "-1 35 98:0 / /a rw - ext4 s rw",
        "36 35 98:0 /  rw - ext4 s rw",
        "99999999999999999999999 35 98:0 / /a rw - ext4 s rw",
        "36 35 98:0 / /a rw ext4 s rw",
    ];
    for line in table {
        let mounts =
            Mounts::parse(format!("1 0 8:1 / / rw - ext4 s rw\n{line}\n2 1 8:2 / /b rw - ext4 s rw\n").as_bytes());
        assert_eq!(mounts.unreadable(), usize::from(!line.is_empty()), "{line}");
        assert_eq!(mounts.at(Path::new("/b")).unwrap().id, 2, "{line}");
    }
}

fn id_at(table: &str, path: &str) -> Option<u64> {
    Mounts::parse(table.as_bytes()).at(Path::new(path)).map(|mount| mount.id)
}

#[test]
fn a_path_is_what_a_process_would_find_there() {
    const ROOT: &str = "1 0 8:1 / / rw - ext4 s rw\n";
    let table = [
        ("", "/", Some(1), "the root"),
        ("2 1 8:2 / /a rw - t s rw", "/a", Some(2), "a mount"),
        ("2 1 8:2 / /a rw - t s rw", "/a/b", None, "a directory in a mount is no mount point"),
        ("2 1 8:2 / /a/b rw - t s rw", "/a", None, "nor is one above"),
        ("2 1 8:2 / /ab rw - t s rw", "/a", None, "a longer name is another one"),
        ("2 1 8:2 / /a rw - t s rw\n3 2 8:3 / /a rw - t s rw", "/a", Some(3), "the upper one of two"),
        ("3 2 8:3 / /a rw - t s rw\n2 1 8:2 / /a rw - t s rw", "/a", Some(3), "whatever their order in the table"),
        ("2 1 8:2 / /a/b rw - t s rw\n3 1 8:3 / /a rw - t s rw", "/a/b", None, "hidden by a mount above it"),
        (
            "2 1 8:2 / /a/b rw - t s rw\n3 1 8:3 / /a rw - t s rw\n4 3 8:4 / /a/b rw - t s rw",
            "/a/b",
            Some(4),
            "mounted again in what hides it",
        ),
        ("2 1 8:2 / /a//deleted rw - t s rw", "/a", None, "its directory was removed"),
        ("2 9 8:2 / /a rw - t s rw", "/a", None, "its parent is out of sight, and something else is the root"),
    ];
    for (more, path, expected, why) in table {
        assert_eq!(id_at(&format!("{ROOT}{more}"), path), expected, "{why}");
    }
    assert_eq!(id_at("2 9 8:2 / /a rw - t s rw", "/a"), Some(2), "below a root that is no mount");
    assert_eq!(id_at("1 1 8:2 / / rw - t s rw", "/"), Some(1), "the first of all is its own parent");
    assert_eq!(id_at("1 2 8:1 / /a rw - t s rw\n2 1 8:1 / /a rw - t s rw\n", "/a"), None, "a circle");
    assert_eq!(
        id_at("1 0 8:1 / / rw - t s rw\n2 1 8:1 / / rw - t s rw\n1 2 8:1 / / rw - t s rw\n", "/"),
        None,
        "a circle with a way in"
    );
}

#[test]
fn the_table_of_this_machine_is_read_whole() {
    let mounts = Mounts::read().unwrap();
    assert_eq!(mounts.unreadable(), 0);
    let proc = mounts.at(Path::new("/proc")).expect("/proc is mounted");
    assert_eq!(proc.fs_type, b"proc");
    assert!(mounts.of_device(proc.device).any(|mount| mount.id == proc.id));
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..400), path in "/[a-c/]{0,6}") {
        Mounts::parse(&bytes).at(Path::new(&path));
    }

    #[test]
    fn no_table_is_too_strange(lines in proptest::collection::vec((0_u64..5, 0_u64..5, "/[ab]{0,1}(/[ab])?"), 0..12), path in "/[ab]{0,1}(/[ab])?") {
        let text: String = lines.iter().map(|(id, parent, point)| format!("{id} {parent} 8:{id} / {point} rw - t s rw\n")).collect();
        let mounts = Mounts::parse(text.as_bytes());
        if let Some(mount) = mounts.at(Path::new(&path)) {
            prop_assert_eq!(mount.point.as_path(), Path::new(&path));
        }
    }

    #[test]
    fn a_name_survives_the_kernels_escapes(name in proptest::collection::vec(any::<u8>(), 1..40)) {
        let mut escaped = Vec::new();
        for byte in &name {
            match byte {
                b' ' | b'\t' | b'\n' | b'\\' | b'#' => escaped.extend(format!("\\{byte:03o}").bytes()),
                other => escaped.push(*other),
            }
        }
        prop_assert_eq!(unescape(&escaped), name);
    }
}
