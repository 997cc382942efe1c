//! Whether two trees are equal.
//!
//! In: two trees. Out: nothing, or the first difference. Never: cares for ctime, btime, inode numbers, or whether zeros are a hole.

use std::collections::BTreeMap;

use super::tree::{Node, Tree};

/// The first thing in which `restored` is not what `source` is; names that share an inode must share one there too, and no others may.
pub fn difference(source: &Tree, restored: &Tree) -> Option<String> {
    let mut pairs = Pairs::default();
    let mut open = vec![(source.root(), restored.root(), String::new())];
    while let Some((ours, theirs, path)) = open.pop() {
        let (Some(a), Some(b)) = (source.node(ours), restored.node(theirs)) else {
            return Some(format!("{path}: a name without an inode"));
        };
        if let Some(what) = node_difference(a, b) {
            return Some(format!("/{path}: {what}"));
        }
        if let Some(what) = pairs.add(ours, theirs) {
            return Some(format!("/{path}: {what}"));
        }
        let (Some(a), Some(b)) = (a.entries(), b.entries()) else { continue };
        let show = |name: &[u8]| format!("{path}{}{}", if path.is_empty() { "" } else { "/" }, name.escape_ascii());
        if let Some(name) = a.keys().find(|name| !b.contains_key(*name)) {
            return Some(format!("/{}: missing", show(name)));
        }
        if let Some(name) = b.keys().find(|name| !a.contains_key(*name)) {
            return Some(format!("/{}: is there and should not be", show(name)));
        }
        open.extend(a.iter().map(|(name, child)| (*child, b[name], show(name))));
    }
    None
}

/// Which inode of one tree is which of the other.
#[derive(Default)]
struct Pairs {
    forward: BTreeMap<u64, u64>,
    back: BTreeMap<u64, u64>,
}

impl Pairs {
    fn add(&mut self, ours: u64, theirs: u64) -> Option<String> {
        let same =
            *self.forward.entry(ours).or_insert(theirs) == theirs && *self.back.entry(theirs).or_insert(ours) == ours;
        (!same).then(|| "its hard links are others".to_owned())
    }
}

fn node_difference(a: &Node, b: &Node) -> Option<String> {
    if a.kind.file_type() != b.kind.file_type() {
        return Some(format!("is {:?}, should be {:?}", b.kind.file_type(), a.kind.file_type()));
    }
    if let (Some(a), Some(b)) = (a.content(), b.content()) {
        if a.size() != b.size() {
            return Some(format!("has {} bytes, should have {}", b.size(), a.size()));
        }
        if let Some(at) = a.first_difference(b) {
            return Some(format!("differs at byte {at} of {}", a.size()));
        }
    }
    let device = |node: &Node| match node.kind {
        super::Kind::CharDevice(major, minor) | super::Kind::BlockDevice(major, minor) => Some((major, minor)),
        _ => None,
    };
    if device(a) != device(b) {
        return Some(format!("is device {:?}, should be {:?}", device(b), device(a)));
    }
    if (a.mode, a.uid, a.gid) != (b.mode, b.uid, b.gid) {
        let show = |node: &Node| format!("{:o} {}:{}", node.mode, node.uid, node.gid);
        return Some(format!("has {}, should have {}", show(b), show(a)));
    }
    if a.mtime != b.mtime {
        return Some(format!("was changed {:?}, should be {:?}", b.mtime, a.mtime));
    }
    let (ours, theirs) = (a.attributes(), b.attributes());
    if ours != theirs {
        let names = |list: &[(Vec<u8>, Vec<u8>)]| {
            list.iter()
                .map(|(name, value)| format!("{} ({} bytes)", name.escape_ascii(), value.len()))
                .collect::<Vec<_>>()
        };
        let targets = (ours.link_target == theirs.link_target, names(&theirs.extended), names(&ours.extended));
        return Some(format!(
            "link targets equal: {}; has attributes {:?}, should have {:?}",
            targets.0, targets.1, targets.2
        ));
    }
    None
}

/// Ends the test with the first difference, if there is one. `what` says what is compared, and the seed.
///
/// # Panics
/// When the trees differ: that is what it is for.
pub fn assert_same_tree(source: &Tree, restored: &Tree, what: &str) {
    if let Some(difference) = difference(source, restored) {
        panic!("{what}: {difference}");
    }
}
