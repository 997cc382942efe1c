//! What the tests of this crate share: scratch directories, mounts and loop devices that go away again, and a copy from a source to a target.
//!
//! Only root can mount and make devices. A test that needs it and does not have it says SKIP.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use repository::source::{Attributes, Directory, FileType, Source, Stat, Time};
use repository::target::{Metadata, Target, TargetError};
use tempfile::TempDir;

use crate::sys::xattr::Owner;
use crate::{DirectorySource, SourceOptions};

/// The clock that stamps files: what these tests compare with.
#[expect(clippy::disallowed_methods, reason = "the kernel stamps files by this clock")]
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Time { seconds: since.as_secs() as i64, nanoseconds: since.subsec_nanos() }
}

/// For deadlines of races and for measurements.
#[expect(clippy::disallowed_methods, reason = "races and measurements run by the real clock")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

pub(crate) fn after(time: Time, seconds: i64) -> Time {
    Time { seconds: time.seconds + seconds, ..time }
}

pub(crate) fn options() -> SourceOptions {
    SourceOptions::new(now())
}

pub(crate) fn source(path: &Path) -> DirectorySource {
    DirectorySource::open(path, &options()).unwrap()
}

pub(crate) fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("SKIP: needs root");
    }
    root
}

/// A scratch directory on the filesystem of the build, where stamps can be trusted; `/tmp` may be a tmpfs.
pub(crate) fn scratch() -> TempDir {
    let near = std::env::current_exe().unwrap();
    TempDir::new_in(near.parent().unwrap()).unwrap()
}

/// A mounted tmpfs.
pub(crate) struct Mounted(pub(crate) PathBuf);

impl Mounted {
    pub(crate) fn tmpfs(at: &Path, size: &str) -> Mounted {
        mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some(format!("size={size}").as_str())).unwrap();
        Mounted(at.to_path_buf())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // It may be unmounted already: that is what some tests do.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// A loop device over a file.
pub(crate) struct Loop {
    pub(crate) path: PathBuf,
    pub(crate) backing: PathBuf,
    _scratch: Option<TempDir>,
}

impl Loop {
    /// Over a new file of that size, which goes with it.
    pub(crate) fn of(size: u64) -> Option<Loop> {
        let scratch = scratch();
        let backing = scratch.path().join("image");
        File::create(&backing).unwrap().set_len(size).unwrap();
        let path = attached(&backing)?;
        Some(Loop { path, backing, _scratch: Some(scratch) })
    }

    /// Over a file that is there.
    pub(crate) fn over(backing: PathBuf) -> Option<Loop> {
        let path = attached(&backing)?;
        Some(Loop { path, backing, _scratch: None })
    }
}

fn attached(backing: &Path) -> Option<PathBuf> {
    let made = Command::new("losetup").args(["-f", "--show"]).arg(backing).output();
    match made {
        Ok(made) if made.status.success() => Some(String::from_utf8(made.stdout).unwrap().trim().into()),
        _ => {
            eprintln!("SKIP: no loop device to be had");
            None
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.path).status();
    }
}

/// A volume of its own: a filesystem over a loop device (or a tmpfs), mounted; unmounted and gone when dropped.
pub(crate) struct Formatted {
    /// Where it is mounted.
    pub(crate) path: PathBuf,
    kind: &'static str,
    device: Option<Loop>,
    _scratch: TempDir,
}

impl Formatted {
    /// mkfs.xfs makes nothing below 300 MiB. The image is sparse.
    const BYTES: u64 = 320 << 20;
    /// What volumes are made of, and this kernel can mount.
    pub(crate) const KINDS: [&str; 4] = ["ext4", "xfs", "btrfs", "tmpfs"];

    /// `None`, and SKIP: not root, no loop device, or no program that formats it.
    pub(crate) fn of(kind: &'static str) -> Option<Formatted> {
        if !is_root() {
            return None;
        }
        let device = match kind {
            "tmpfs" => None,
            kind => Some(formatted(kind, Loop::of(Formatted::BYTES)?)?),
        };
        let scratch = scratch();
        let volume = Formatted { path: scratch.path().to_path_buf(), kind, device, _scratch: scratch };
        volume.mount();
        Some(volume)
    }

    /// Mounts it again, after [`Formatted::unmount`].
    pub(crate) fn mount(&self) {
        let device = self.device.as_ref().map(|device| device.path.as_path());
        mount(device.or(Some(Path::new("none"))), &self.path, Some(self.kind), MsFlags::empty(), None::<&str>).unwrap();
    }

    /// The name of its device, as `/sys` has it.
    pub(crate) fn device_name(&self) -> Option<&str> {
        self.device.as_ref()?.path.file_name()?.to_str()
    }

    /// As the kubelet does it: fails if anybody holds something open.
    pub(crate) fn unmount(&self) -> nix::Result<()> {
        umount2(&self.path, MntFlags::empty())
    }
}

impl Drop for Formatted {
    fn drop(&mut self) {
        // It may be unmounted already: that is what some tests do.
        let _ = umount2(&self.path, MntFlags::MNT_DETACH);
    }
}

fn formatted(kind: &str, device: Loop) -> Option<Loop> {
    let force = if kind == "ext4" { "-F" } else { "-f" };
    let made = Command::new(format!("mkfs.{kind}")).args(["-q", force]).arg(&device.path).status();
    let made = made.is_ok_and(|status| status.success());
    if !made {
        eprintln!("SKIP: no mkfs.{kind} to be had");
    }
    made.then_some(device)
}

pub(crate) fn set_attribute(path: &Path, name: &[u8], value: &[u8]) {
    use std::os::fd::AsFd;
    let fd = crate::sys::open::operator_path(path, nix::fcntl::OFlag::O_NOFOLLOW).unwrap();
    Owner::Path(fd.as_fd()).set(name, value).unwrap();
}

/// An access ACL in the kernel's own encoding: owner rw-, one named user r--, group ---, mask r--, others ---.
pub(crate) fn acl_for_user(uid: u32) -> Vec<u8> {
    let entries: [(u16, u16, u32); 5] =
        [(0x01, 6, u32::MAX), (0x02, 4, uid), (0x04, 0, u32::MAX), (0x10, 4, u32::MAX), (0x20, 0, u32::MAX)];
    let mut out = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&permissions.to_le_bytes());
        out.extend_from_slice(&id.to_le_bytes());
    }
    out
}

/// `cap_net_raw+ep` as the kernel stores it (version 2, effective).
pub(crate) fn capability() -> Vec<u8> {
    let mut out = 0x0200_0001_u32.to_le_bytes().to_vec();
    out.extend_from_slice(&(1_u32 << 13).to_le_bytes());
    out.extend_from_slice(&[0; 12]);
    out
}

pub(crate) fn metadata(stat: &Stat, attributes: Attributes) -> Metadata {
    Metadata {
        file_type: stat.file_type,
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        size: stat.size,
        mtime: stat.mtime,
        device: stat.device,
        attributes,
    }
}

/// Metadata of a plain file that belongs to us.
pub(crate) fn plain(size: u64) -> Metadata {
    Metadata {
        file_type: FileType::Regular,
        mode: 0o640,
        uid: nix::unistd::geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
        size,
        mtime: Time { seconds: 1_000_000_000, nanoseconds: 123_456_789 },
        device: None,
        attributes: Attributes::default(),
    }
}

/// One row of a walked tree: the path, what it is, and its content.
pub(crate) type Row = (Vec<Vec<u8>>, Stat, Attributes, Vec<u8>);

/// Everything in a source, parents before children.
pub(crate) fn rows(source: &dyn Source) -> Vec<Row> {
    let (stat, attributes) = source.root().unwrap();
    let mut out = vec![(Vec::new(), stat, attributes, Vec::new())];
    let mut at = 0;
    while at < out.len() {
        if out[at].1.file_type == FileType::Directory {
            let path = out[at].0.clone();
            let names: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
            let directory = source.directory(&names).unwrap();
            for name in directory.names().unwrap().iter() {
                let stat = directory.stat(name).unwrap().unwrap();
                let attributes = directory.attributes(name, &stat).unwrap();
                let content = content(directory.as_ref(), name, &stat);
                out.push(([path.clone(), vec![name.to_vec()]].concat(), stat, attributes, content));
            }
        }
        at += 1;
    }
    out
}

fn content(directory: &dyn Directory, name: &[u8], stat: &Stat) -> Vec<u8> {
    if stat.file_type != FileType::Regular {
        return Vec::new();
    }
    let mut out = vec![0; usize::try_from(stat.size).unwrap()];
    let mut content = directory.open(name, stat).unwrap();
    let mut at = 0;
    while let Some(range) = content.next_data(at).unwrap() {
        let (first, last) = (range.start as usize, range.end as usize);
        assert_eq!(content.read_at(range.start, &mut out[first..last]).unwrap(), last - first);
        at = range.end;
    }
    out
}

/// What the engine does, without a repository in between.
pub(crate) fn copy(source: &dyn Source, target: &dyn Target) -> Result<(), TargetError> {
    let rows = rows(source);
    let mut linked: Vec<(u64, Vec<Vec<u8>>)> = Vec::new();
    for (path, stat, attributes, content) in &rows {
        let names: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
        let wanted = metadata(stat, attributes.clone());
        let first = linked.iter().find(|(inode, _)| *inode == stat.inode).map(|(_, path)| path.clone());
        match (stat.file_type, first) {
            (FileType::Directory, _) => target.make_directory(&names)?,
            (_, Some(first)) => {
                let first: Vec<&[u8]> = first.iter().map(Vec::as_slice).collect();
                target.make_hard_link(&names, &first)?;
            }
            (FileType::Regular, None) => {
                let file = target.create_file(&names, stat.size)?;
                write_data(file.as_ref(), content)?;
                file.commit(&wanted)?;
            }
            (_, None) => target.make_node(&names, &wanted)?,
        }
        if stat.links > 1 && stat.file_type != FileType::Directory {
            linked.push((stat.inode, path.clone()));
        }
    }
    for (path, stat, attributes, _) in rows.iter().rev().filter(|row| row.1.file_type == FileType::Directory) {
        let names: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
        target.finish_directory(&names, &metadata(stat, attributes.clone()))?;
    }
    Ok(())
}

fn write_data(file: &dyn repository::target::TargetFile, content: &[u8]) -> Result<(), TargetError> {
    for (index, page) in content.chunks(4096).enumerate() {
        if page.iter().any(|byte| *byte != 0) {
            file.write_at(index as u64 * 4096, page)?;
        }
    }
    Ok(())
}
