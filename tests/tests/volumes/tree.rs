//! Tree: everything that a volume can hold.
//!
//! In: an empty volume. Out: a tree that has one of each, and later the same tree after changes of every kind. Never: holds what its filesystem cannot.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::mounted::{Kind, Volume};
use crate::program::shell;

/// So many names has one file.
const NAMES_OF_ONE_FILE: usize = 2000;
const HUGE_BYTES: u64 = 1100 << 30;

/// Fills an empty volume.
pub(crate) fn make(volume: &Volume) {
    let root = volume.root();
    names(&root.join("names"));
    sparse(&root);
    fs::create_dir(root.join("linked")).expect("a folder");
    fs::write(root.join("linked/0"), "one file, many names").expect("a file");
    for name in 1..NAMES_OF_ONE_FILE {
        fs::hard_link(root.join("linked/0"), root.join(format!("linked/{name}"))).expect("a name");
    }
    // The name of a socket that nobody listens at stays.
    drop(UnixListener::bind(root.join("socket")).expect("a socket"));
    shell(&root, PLAIN);
    shell(&root, &attributes(volume.kind));
}

/// A name of each byte, names of full length, two that look alike, and those that tools stumble over.
fn names(folder: &Path) {
    fs::create_dir(folder).expect("a folder");
    let write = |name: &[u8]| fs::write(folder.join(OsStr::from_bytes(name)), name).expect("a file of that name");
    (1..=255).filter(|byte| *byte != b'/').for_each(|byte| write(&[b'=', byte]));
    write(&[b'n'; 255]);
    write("ä".repeat(127).as_bytes());
    for name in ["-rf", " leading", "trailing ", "..\\up", "...", "a\u{308}", "ä", "\u{1b}[2J", "CON", "quote'\"$(x)`"]
    {
        write(name.as_bytes());
    }
    let mut deep = folder.join("deep");
    (0..60).for_each(|level| deep.push(format!("level {level}")));
    fs::create_dir_all(&deep).expect("folders");
    fs::write(deep.join("bottom"), "reached").expect("a file");
}

fn sparse(root: &Path) {
    let file = File::create(root.join("huge")).expect("a file");
    file.set_len(HUGE_BYTES).expect("a terabyte of nothing");
    for (offset, length) in [(0, 1), (700 << 30, 5000), (HUGE_BYTES - 3, 3)] {
        file.write_all_at(&vec![b'd'; length], offset).expect("some data");
    }
    let file = File::create(root.join("islands")).expect("a file");
    file.set_len(20 << 20).expect("a length");
    (0..40).for_each(|at| file.write_all_at(&[at + 1; 4096], u64::from(at) * 123 * 4096).expect("an island"));
    symlink("islands", root.join("link to islands")).expect("a link");
}

/// What needs no attribute.
const PLAIN: &str = r#"
mkdir 'empty folder' closed sticky inherited
: > empty
for size in 1 4095 4096 4097 65536 65537 1048575 1048576 1048577 5000000; do
    head -c $size /dev/urandom > "size $size"
    head -c $size /dev/zero > "zeros $size"
done
truncate -s 3000000 hole
fallocate -l 3000000 reserved
fallocate -l 3000000 'reserved and written'
printf data | dd of='reserved and written' bs=1 seek=1000000 conv=notrunc status=none
ln -s nowhere link
ln -P link 'same link'
ln -s "$(head -c 1000 /dev/zero | tr '\0' x)" 'long link'
ln 'size 4097' 'names/size 4097'
mkfifo -m 620 fifo
mknod character c 5 259
mknod block b 251 1000
mknod whiteout c 0 0
touch setuid setgid none
chown -h 1234:4321 setuid setgid 'size 1' link
chmod 4755 setuid
chmod 2755 setgid
chmod 0 none
chmod 1777 sticky
chmod 0 closed
chown 4000000000:4000000001 empty
touch -d '@7000000000.123456789' future
touch -d '1969-12-31 23:59:58.999999999 UTC' before
touch -d '1903-01-01 UTC' 'long before'
touch -h -d '@1.000000001' link
touch -d '@1500000000.5' fifo socket 'empty folder'
"#;

/// Attributes, as large as the filesystem takes them.
fn attributes(kind: Kind) -> String {
    let largest = match kind {
        Kind::Ext4 | Kind::Xfs => 65536,
        Kind::Btrfs => 16000,
        Kind::Tmpfs => 32000,
    };
    format!(
        r#"
touch large many attributes
setfattr -n user.large -v "$(head -c {largest} /dev/zero | tr '\0' v)" large
for n in $(seq 40); do setfattr -n "user.attribute $n" -v "value $n" many; done
setfattr -n user.empty attributes
setfattr -n user.binary -v 0x00ff0a1b00 attributes
setfattr -n trusted.overlay.opaque -v y 'empty folder'
setfattr -h -n trusted.of-the-link -v x link
setfattr -n trusted.of-the-fifo -v x fifo
setfattr -n trusted.of-the-device -v x block
setfattr -n security.selinux -v 'system_u:object_r:container_file_t:s0:c1,c2' attributes
setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 setuid
setfattr -n user.of-the-root -v x .
setfacl -m u:77:rw,g:88:r,m::rw attributes
setfacl -m u:77:rwx inherited
setfacl -d -m u:99:rwx,g::r-x,o::- inherited
touch inherited/child
mkdir inherited/folder
mkdir -m 2775 'set group'
echo kept > 'cannot be changed'; echo kept > 'can only grow'
chattr +i 'cannot be changed'
chattr +a 'can only grow'
touch -d '@1600000000.987654321' large attributes inherited
"#
    )
}

/// What changes between two backups: content, names, kinds, metadata, each alone and together.
pub(crate) fn change(root: &Path) {
    shell(root, CHANGES);
}

const CHANGES: &str = r#"
printf X | dd of='size 5000000' bs=1 seek=2500000 conv=notrunc status=none
printf X | dd of=huge bs=1 seek=900G conv=notrunc status=none
fallocate --punch-hole -o 0 -l 1M islands
truncate -s 4000 'size 65537'
truncate -s 2M 'size 4097'
head -c 70000 /dev/urandom > 'zeros 1'
rm 'size 4095' linked/5 link 'zeros 4096'
ln -s elsewhere 'zeros 4096'
mkdir 'size 4095'
echo in > 'size 4095/in'
mv names/deep moved
mv 'size 65536' 'size 1048576'
ln 'size 1048577' 'another name'
rm -r sticky
touch sticky
rm fifo && touch fifo
mkfifo 'new fifo'
chmod 700 none
chown 1:1 'set group'
chmod 4755 character
touch -d '@1.5' 'size 1'
setfattr -x user.empty attributes
setfattr -n user.binary -v other attributes
setfacl -b inherited
setfacl -m u:5:r 'size 4096'
chattr -a 'can only grow'
echo more >> 'can only grow'
"#;

/// What an application does to a volume that is then restored in place: nothing is what or where it was.
pub(crate) fn ruin(root: &Path) {
    shell(root, RUIN);
}

const RUIN: &str = r#"
rm -r moved && echo file > moved
rm 'size 5000000' && mkdir -p 'size 5000000/a/b' && echo x > 'size 5000000/a/b/c'
rm large && ln -s /etc/shadow large
rm -r inherited && ln -s /etc inherited
rm many && mkfifo many
rm attributes && mknod attributes c 1 3
ln -f empty linked/7
ln -f linked/8 'size 1'
head -c 9000 /dev/urandom > linked/0
truncate -s 0 huge
truncate -s 3G islands
mkdir -p extra/tree && touch extra/tree/file
chmod 7777 none
chown 9:9 .
setfattr -n user.extra -v x setuid
setfacl -m u:9:rwx,d:u:9:rwx 'empty folder'
touch -d @0 'set group'
printf Y | dd of='size 1048577' bs=1 seek=5000 conv=notrunc status=none
"#;
