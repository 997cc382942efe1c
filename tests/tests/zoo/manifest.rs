//! Manifest: everything that the restore points of the golden repository hold, as JSON.
//!
//! In: the golden repository. Out: one list of points with one list of entries each. Never: compares; the caller does.

use repository::domain::Domain;
use repository::generated::{MemoryTarget, Node, Tree};
use repository::read::{self, PointInfo, RestoreOptions, View, display_path};
use serde_json::{Value, json};

use super::golden::Golden;

/// All points, oldest first.
pub(crate) fn of(golden: &Golden) -> Value {
    let domain = golden.sound();
    let list = read::points_with_hidden(&domain, None).expect("a list of points");
    assert!(list.unreadable.is_empty(), "{:?}", list.unreadable);
    list.points.iter().map(|point| of_point(&domain, point)).collect()
}

fn of_point(domain: &Domain, point: &PointInfo) -> Value {
    let view = View::open(domain, point.id, 64 << 10).expect("a point");
    let target = MemoryTarget::default();
    let options = RestoreOptions { memory_budget_bytes: 32 << 20, workers: 1, ..RestoreOptions::default() };
    let report = read::restore(domain, &view, &options, &target).expect("a restore");
    assert_eq!((report.failed, target.breaches()), (vec![], vec![]));
    let description = &point.description;
    json!({
        "point": point.id.session.to_string(),
        "volume": description.volume.name,
        "time": description.time,
        "parent": point.parent.map(|parent| parent.to_string()),
        "checkpoint": point.checkpoint,
        "hidden": point.hidden,
        "entries": entries(&target.snapshot()),
    })
}

fn entries(tree: &Tree) -> Vec<Value> {
    let mut entries: Vec<(Vec<Vec<u8>>, u64)> = Vec::new();
    below(tree, tree.root(), &mut Vec::new(), &mut entries);
    entries.sort();
    let first_name = |inode: u64| entries.iter().find(|(_, other)| *other == inode).map(|(path, _)| shown(path));
    let root = tree.node(tree.root()).map(|node| entry(".".to_owned(), node, None));
    let others = entries.iter().filter_map(|(path, inode)| {
        let first = first_name(*inode).filter(|first| *first != shown(path));
        Some(entry(shown(path), tree.node(*inode)?, first))
    });
    root.into_iter().chain(others).collect()
}

fn shown(path: &[Vec<u8>]) -> String {
    display_path(path.iter().map(Vec::as_slice))
}

fn below(tree: &Tree, directory: u64, path: &mut Vec<Vec<u8>>, entries: &mut Vec<(Vec<Vec<u8>>, u64)>) {
    for (name, inode) in tree.node(directory).and_then(Node::entries).into_iter().flatten() {
        path.push(name.clone());
        entries.push((path.clone(), *inode));
        below(tree, *inode, path, entries);
        path.pop();
    }
}

fn entry(path: String, node: &Node, same_as: Option<String>) -> Value {
    let attributes = node.attributes();
    let content = node.content().map(|content| {
        let mut bytes = vec![0; content.size() as usize];
        content.read(0, &mut bytes);
        json!({"size": content.size(), "blake3": blake3::hash(&bytes).to_hex().to_string()})
    });
    let hashes = attributes
        .extended
        .iter()
        .map(|(name, value)| (name.escape_ascii().to_string(), Value::from(blake3::hash(value).to_hex().to_string())));
    json!({
        "path": path,
        "kind": format!("{:?}", node.kind.file_type()),
        "mode": format!("{:o}", node.mode),
        "owner": [node.uid, node.gid],
        "mtime": format!("{}.{:09}", node.mtime.seconds, node.mtime.nanoseconds),
        "content": content,
        "link_target": attributes.link_target.map(|target| target.escape_ascii().to_string()),
        "attributes": hashes.collect::<serde_json::Map<_, _>>(),
        "same_as": same_as,
    })
}
