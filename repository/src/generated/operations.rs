//! What programs do to files, at random.
//!
//! In: a tree, dice, a shape. Out: the tree changed, and what was done in words. Never: a change that a kernel would refuse.

use std::collections::BTreeMap;
use std::time::Duration;

use super::dice::Dice;
use super::grow::Shape;
use super::tree::{Kind, Tree, TreeError};
use crate::hash::PAGE_BYTES;
use crate::source::Time;

const PAGE: u64 = PAGE_BYTES as u64;
/// Page ids are drawn from so few that equal pages occur.
const PAGE_IDS: u64 = 5_000;
/// More directories below each other than this are not made.
const DEPTH_MAX: usize = 12;

/// One entry: its directory, name and inode.
type Place = (u64, Vec<u8>, u64);

/// What can happen, each as likely as the others.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Create,
    OverwritePages,
    OverwriteBytes,
    Append,
    Truncate,
    Regrow,
    Punch,
    Replace,
    SaveAside,
    Rename,
    Swap,
    HardLink,
    Unlink,
    RemoveTree,
    Chmod,
    Chown,
    SetTime,
    SetAttribute,
    RemoveAttribute,
    CopyFile,
    GrowOrShrink,
    WriteZeros,
    Wait,
}

const ALL: [Operation; 23] = [
    Operation::Create,
    Operation::OverwritePages,
    Operation::OverwriteBytes,
    Operation::Append,
    Operation::Truncate,
    Operation::Regrow,
    Operation::Punch,
    Operation::Replace,
    Operation::SaveAside,
    Operation::Rename,
    Operation::Swap,
    Operation::HardLink,
    Operation::Unlink,
    Operation::RemoveTree,
    Operation::Chmod,
    Operation::Chown,
    Operation::SetTime,
    Operation::SetAttribute,
    Operation::RemoveAttribute,
    Operation::CopyFile,
    Operation::GrowOrShrink,
    Operation::WriteZeros,
    Operation::Wait,
];

/// Does `count` operations; those that are impossible (a directory renamed into itself) are left out.
pub(super) fn operate(tree: &mut Tree, dice: &mut Dice, shape: &Shape, count: usize) -> Vec<String> {
    let mut done = Vec::new();
    for _ in 0..count {
        let Some(operation) = dice.index(ALL.len()).map(|index| ALL[index]) else { break };
        match one(tree, dice, shape, operation) {
            Ok(Some(what)) => done.push(format!("{operation:?} {what}")),
            Ok(None) => {}
            Err(refused) => done.push(format!("{operation:?}: {refused}")),
        }
    }
    done
}

fn one(tree: &mut Tree, dice: &mut Dice, shape: &Shape, operation: Operation) -> Result<Option<String>, TreeError> {
    match operation {
        Operation::Create | Operation::CopyFile if tree.inodes() > 2 * shape.entries + 20 => Ok(None),
        Operation::Create => Ok(create(tree, dice, shape)),
        Operation::Wait => {
            tree.clock().advance(Duration::from_millis(dice.below(6_000)));
            Ok(None)
        }
        Operation::OverwritePages
        | Operation::OverwriteBytes
        | Operation::Append
        | Operation::Truncate
        | Operation::Regrow
        | Operation::Punch
        | Operation::GrowOrShrink
        | Operation::WriteZeros => edit(tree, dice, shape, operation),
        Operation::Chmod
        | Operation::Chown
        | Operation::SetTime
        | Operation::SetAttribute
        | Operation::RemoveAttribute => describe(tree, dice, shape, operation),
        _ => name(tree, dice, shape, operation),
    }
}

fn any(tree: &Tree, dice: &mut Dice, wanted: impl Fn(&Kind) -> bool) -> Option<Place> {
    let mut names = tree.names();
    names.retain(|(_, _, inode)| tree.node(*inode).is_some_and(|node| wanted(&node.kind)));
    dice.index(names.len()).map(|index| names.swap_remove(index))
}

fn is_file(kind: &Kind) -> bool {
    matches!(kind, Kind::Regular(_))
}

fn is_directory(kind: &Kind) -> bool {
    matches!(kind, Kind::Directory(_))
}

fn any_directory(tree: &Tree, dice: &mut Dice) -> u64 {
    if dice.one_in(4) {
        return tree.root();
    }
    any(tree, dice, is_directory).map_or(tree.root(), |(_, _, inode)| inode)
}

fn depth(tree: &Tree, directory: u64) -> usize {
    let names = tree.names();
    let mut at = directory;
    let above = |inode: u64| names.iter().find(|(_, _, child)| *child == inode).map(|(directory, _, _)| *directory);
    (0..DEPTH_MAX).take_while(|_| above(at).map(|directory| at = directory).is_some()).count()
}

fn new_name(dice: &mut Dice, shape: &Shape) -> Vec<u8> {
    let number = dice.below(1_000_000);
    let kind = if shape.odd_names { dice.below(10) } else { 9 };
    match kind {
        0 => [b"\xff\xfe".as_slice(), number.to_string().as_bytes()].concat(),
        1 => format!("line\nbreak\t{number}").into_bytes(),
        2 => format!("{number}{}", "x".repeat(255 - number.to_string().len())).into_bytes(),
        3 => format!("-rf {number} \\*'\"").into_bytes(),
        4 => format!(".hidden{number}").into_bytes(),
        5 => format!("u\u{0308}ber {number} \u{1f4be}").into_bytes(),
        6 => vec![1 + (number % 45) as u8],
        _ => format!("file{number}").into_bytes(),
    }
}

/// A new entry of any kind, somewhere.
pub(super) fn create(tree: &mut Tree, dice: &mut Dice, shape: &Shape) -> Option<String> {
    let directory = any_directory(tree, dice);
    let name = new_name(dice, shape);
    let kind = match dice.below(16) {
        0..=2 if depth(tree, directory) < DEPTH_MAX => Kind::Directory(BTreeMap::new()),
        3 => Kind::Symlink(new_name(dice, shape)),
        4 => match dice.below(4) {
            0 => Kind::Fifo,
            1 => Kind::Socket,
            2 => Kind::CharDevice(dice.below(300) as u32, dice.below(1 << 20) as u32),
            _ => Kind::BlockDevice(dice.below(300) as u32, dice.below(1 << 20) as u32),
        },
        _ => Kind::Regular(Default::default()),
    };
    let file = is_file(&kind);
    let mode = [0o644, 0o600, 0o4755, 0o2775, 0o1777, 0][dice.below(6) as usize];
    let inode = tree.create(directory, &name, kind, mode).ok()?;
    if file {
        fill(tree, dice, shape, inode).ok()?;
    }
    Some(format!("{} in {directory}", name.escape_ascii()))
}

/// New content for an empty file.
fn fill(tree: &mut Tree, dice: &mut Dice, shape: &Shape, inode: u64) -> Result<(), TreeError> {
    if shape.sparse_one_in > 0 && dice.one_in(shape.sparse_one_in) {
        let size = dice.below(1 << 40);
        let pages: Vec<u64> = (0..dice.below(6)).map(|_| dice.below(size / PAGE + 1)).collect();
        return tree.edit(inode, |content| {
            pages.iter().for_each(|page| content.make_page(*page, 1 + page % PAGE_IDS));
            content.set_size(size);
        });
    }
    // Small ones are the most, as everywhere.
    let bytes = match dice.below(8) {
        0 => 0,
        1..=3 => dice.below(PAGE),
        4..=5 => dice.below(20 * PAGE),
        _ => dice.below(shape.pages_max * PAGE),
    }
    .min(shape.pages_max * PAGE);
    let first = 1 + dice.below(PAGE_IDS);
    tree.edit(inode, |content| {
        (0..bytes.div_ceil(PAGE)).for_each(|page| content.make_page(page, first + page));
        content.set_size(bytes);
    })
}

fn size_of(tree: &Tree, inode: u64) -> u64 {
    tree.stat(inode).map_or(0, |stat| stat.size)
}

/// Changes the content of a file.
fn edit(tree: &mut Tree, dice: &mut Dice, shape: &Shape, operation: Operation) -> Result<Option<String>, TreeError> {
    let Some((directory, name, inode)) = any(tree, dice, is_file) else { return Ok(None) };
    let size = size_of(tree, inode);
    let limit = shape.pages_max * PAGE;
    let (at, length) = (dice.below(size), dice.below(limit / 4 + 1));
    let id = 1 + dice.below(PAGE_IDS);
    let mut bytes = vec![0; (dice.below(3 * PAGE) as usize).min((size - at) as usize)];
    dice.fill(&mut bytes);
    let other_size = match dice.below(4) {
        0 => 0,
        1 => dice.below(16) * PAGE,
        2 => (64 << 10) + dice.below(3) - 1,
        _ => dice.below(limit),
    };
    tree.edit(inode, |content| match operation {
        Operation::OverwritePages => {
            let pages = 1 + length / PAGE % 5;
            (0..pages).map(|page| at / PAGE + page).filter(|page| (page + 1) * PAGE <= size).for_each(|page| {
                content.make_page(page, id + page);
            });
        }
        Operation::OverwriteBytes => content.write(at, &bytes),
        Operation::Append if size < limit => {
            bytes.resize(1 + length as usize, 0xa5);
            content.write(size, &bytes);
        }
        Operation::Truncate => content.set_size(at),
        Operation::Regrow => {
            content.set_size(at);
            content.set_size(size);
        }
        Operation::Punch => content.punch(at, length.max(1)),
        Operation::WriteZeros => content.write(at, &vec![0; bytes.len()]),
        Operation::GrowOrShrink => {
            content.set_size(other_size);
            if other_size > 0 {
                content.write(other_size / 2, &[7]);
            }
        }
        _ => {}
    })?;
    Ok(Some(format!("{} in {directory} (inode {inode}, {size} bytes, at {at})", name.escape_ascii())))
}

/// Changes what a stat or an attribute says.
fn describe(
    tree: &mut Tree,
    dice: &mut Dice,
    shape: &Shape,
    operation: Operation,
) -> Result<Option<String>, TreeError> {
    let place = if dice.one_in(10) { None } else { any(tree, dice, |_| true) };
    let inode = place.as_ref().map_or(tree.root(), |(_, _, inode)| *inode);
    let is_link = tree.node(inode).is_some_and(|node| matches!(node.kind, Kind::Symlink(_)));
    let (number, small) = (dice.number(), dice.below(4));
    let value_bytes_max = if dice.one_in(3) { shape.attribute_bytes_max + 1 } else { 100 };
    let mut value = vec![0; dice.below(value_bytes_max) as usize];
    dice.fill(&mut value);
    tree.change(inode, |node| match operation {
        // Linux has no permissions on links.
        Operation::Chmod if !is_link => node.mode = (number & 0o7777) as u32,
        Operation::Chown => (node.uid, node.gid) = ((number & 0xffff_ffff) as u32, (number >> 40) as u32),
        Operation::SetTime => {
            let seconds = (number % (1 << 36)) as i64 - (1 << 35);
            node.mtime = Time { seconds, nanoseconds: (number >> 36) as u32 % 1_000_000_000 };
        }
        Operation::SetAttribute => {
            node.extended.insert(format!("user.attribute{small}").into_bytes(), value);
        }
        Operation::RemoveAttribute => {
            node.extended.pop_first();
        }
        _ => {}
    })?;
    Ok(Some(format!("inode {inode}")))
}

/// Changes names.
fn name(tree: &mut Tree, dice: &mut Dice, shape: &Shape, operation: Operation) -> Result<Option<String>, TreeError> {
    let wanted: fn(&Kind) -> bool = match operation {
        Operation::RemoveTree => is_directory,
        Operation::Rename | Operation::Swap => |_| true,
        Operation::HardLink | Operation::Unlink => |kind| !is_directory(kind),
        _ => is_file,
    };
    let Some((directory, old, inode)) = any(tree, dice, wanted) else { return Ok(None) };
    let (to, new) = (any_directory(tree, dice), new_name(dice, shape));
    let mut what = format!("{} in {directory} (inode {inode})", old.escape_ascii());
    match operation {
        Operation::Rename => {
            // Half of them over something that is there.
            let there = any(tree, dice, |_| true).filter(|_| dice.one_in(2));
            let (to, new) = there.map_or((to, new), |(to, new, _)| (to, new));
            tree.rename((directory, &old), (to, &new))?;
            what = format!("{what} to {} in {to}", new.escape_ascii());
        }
        Operation::Swap => {
            let Some((other, name, _)) = any(tree, dice, |_| true) else { return Ok(None) };
            tree.exchange((directory, &old), (other, &name))?;
            what = format!("{what} and {} in {other}", name.escape_ascii());
        }
        Operation::HardLink => tree.link(to, &new, inode)?,
        Operation::Unlink => tree.unlink(directory, &old)?,
        // Whole trees go rarely, or nothing would be left.
        Operation::RemoveTree if dice.one_in(3) => tree.remove(directory, &old)?,
        Operation::Replace => {
            tree.unlink(directory, &old)?;
            let inode = tree.create(directory, &old, Kind::Regular(Default::default()), 0o640)?;
            fill(tree, dice, shape, inode)?;
        }
        Operation::SaveAside => {
            tree.rename((directory, &old), (directory, &new))?;
            let content = tree.node(inode).and_then(|node| node.content()).cloned().ok_or(TreeError::WrongType)?;
            let again = tree.create(directory, &old, Kind::Regular(content), 0o644)?;
            tree.edit(again, |content| content.write(content.size() / 2, b"changed"))?;
        }
        Operation::CopyFile => {
            let content = tree.node(inode).and_then(|node| node.content()).cloned().ok_or(TreeError::WrongType)?;
            tree.create(to, &new, Kind::Regular(content), 0o644)?;
        }
        _ => return Ok(None),
    }
    Ok(Some(what))
}
