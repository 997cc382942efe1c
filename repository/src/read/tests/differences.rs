//! What lies between two restore points.

use super::*;
use crate::read::diff::{Changes, Difference, diff};

fn differences(a: &View, b: &View) -> Vec<(String, String)> {
    let mut all = Vec::new();
    diff(a, b, &mut |path, difference| {
        let what = match difference {
            Difference::Added(_) => "added".into(),
            Difference::Removed(_) => "removed".into(),
            Difference::Type { .. } => "type".into(),
            Difference::Changed { changes: Changes { content, metadata }, .. } => {
                format!("{}{}", if content { "content " } else { "" }, if metadata { "metadata" } else { "" })
            }
        };
        all.push((display_path(path.iter().map(Vec::as_slice)), what));
        Ok(())
    })
    .unwrap();
    all.sort();
    all
}

#[test]
fn exactly_what_was_done_is_different() {
    let world = World::known();
    let before = world.backup();
    let same = world.backup();
    assert_eq!(differences(&world.view(before), &world.view(same)), []);
    world.source.clock().advance(Duration::from_secs(5));
    world.source.with(|tree| {
        overwrite(tree, "large", 3, 77);
        let other = tree.file("d/other").unwrap();
        tree.change(other, |node| node.mode = 0o600).unwrap();
        tree.unlink(tree.root(), b"to").unwrap();
        tree.create(tree.root(), b"to", Kind::Fifo, 0o644).unwrap();
        tree.file("new/deep/file").unwrap();
    });
    let after = world.backup();
    let forwards = differences(&world.view(before), &world.view(after));
    let expected = [
        (".", "metadata"),
        ("d/other", "metadata"),
        ("large", "content metadata"),
        ("new", "added"),
        ("new/deep", "added"),
        ("new/deep/file", "added"),
        ("to", "type"),
    ];
    assert_eq!(forwards, expected.map(|(path, what)| (path.to_owned(), what.to_owned())));
    let backwards = differences(&world.view(after), &world.view(before));
    assert_eq!(backwards.iter().filter(|(_, what)| what == "removed").count(), 3);
}

#[test]
fn equal_content_in_another_volume_is_equal_however_it_is_kept() {
    let world = World::known();
    let one = world.backup();
    // The same tree, reached by other ways: `large` was small for a while, and grew page by page.
    world.source.with(|tree| {
        let large = tree.file("large").unwrap();
        tree.edit(large, |content| content.set_size(10)).unwrap();
    });
    world.backup_as("other");
    world.source.with(|tree| {
        let large = tree.file("large").unwrap();
        tree.edit(large, |content| {
            content.set_size(600 * PAGE + 100);
            (0..500).filter(|page| !(200..300).contains(page)).for_each(|page| content.make_page(page, page * 3 + 1));
        })
        .unwrap();
    });
    let other = world.backup_as("other");
    let different = differences(&world.view(one), &world.view(other));
    assert_eq!(different, [("large".to_owned(), "metadata".to_owned())]);
}
