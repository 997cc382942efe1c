//! What has to hold of the module above, one claim per test.

use super::*;
use crate::hash::PAGE_BYTES;
use crate::source::{Content, ReadVerdict, Source, SourceError, Time};
use crate::target::{Metadata, Target, TargetError};

const PAGE: u64 = PAGE_BYTES as u64;

fn read_all(content: &FileContent) -> Vec<u8> {
    let mut bytes = vec![0xee; content.size() as usize];
    assert_eq!(content.read(0, &mut bytes), bytes.len());
    bytes
}

#[test]
fn content_is_what_a_plain_list_of_bytes_would_be() {
    for seed in 0..20 {
        let (mut dice, mut content, mut expected) = (Dice::new(seed), FileContent::default(), Vec::new());
        for step in 0..60 {
            let at = dice.below(expected.len() as u64 + 1);
            let length = dice.below(3 * PAGE);
            match dice.below(4) {
                0 => {
                    let bytes = vec![step as u8 + 1; length as usize];
                    expected.resize(expected.len().max((at + length) as usize), 0);
                    expected[at as usize..(at + length) as usize].copy_from_slice(&bytes);
                    content.write(at, &bytes);
                }
                1 => {
                    content.set_size(at + length);
                    expected.resize((at + length) as usize, 0);
                }
                2 => {
                    content.punch(at, length);
                    let end = expected.len().min((at + length) as usize);
                    expected[at as usize..end].fill(0);
                }
                _ => {
                    let page = at / PAGE;
                    content.make_page(page, seed * 100 + step);
                    let end = ((page + 1) * PAGE) as usize;
                    expected.resize(expected.len().max(end), 0);
                    expected[end - PAGE_BYTES..end].copy_from_slice(&page_bytes(seed * 100 + step));
                }
            }
            assert_eq!(read_all(&content), expected, "seed {seed}, step {step}");
        }
    }
}

#[test]
fn a_file_of_a_tebibyte_takes_one_page_and_its_data_is_found() {
    let mut content = FileContent::default();
    content.set_size(1 << 40);
    content.make_page(1 << 27, 5);
    assert_eq!((content.allocated_pages(), content.size()), (1, 1 << 40));
    assert_eq!(content.next_data(0), Some((PAGE << 27)..((PAGE << 27) + PAGE)));
    assert_eq!(content.next_data((PAGE << 27) + PAGE), None);
}

#[test]
fn a_seed_is_one_tree_and_its_operations_are_the_same() {
    for seed in 0..5 {
        let make = || {
            let source = GeneratedSource::new(seed, &Shape::mixed());
            let done = source.operate(&mut Dice::new(seed + 1), &Shape::mixed(), 100);
            (source.snapshot(), done)
        };
        let ((one, first), (other, second)) = (make(), make());
        assert_eq!(first, second);
        assert_same_tree(&one, &other, "the same seed");
        assert!(one.inodes() > 10, "{} inodes", one.inodes());
    }
}

#[test]
fn a_difference_of_any_kind_is_found() {
    let source = GeneratedSource::empty();
    source.with(|tree| {
        let file = tree.file("a/f").unwrap();
        tree.edit(file, |content| content.write(5000, b"x")).unwrap();
        tree.link(tree.root(), b"g", file).unwrap();
        tree.file("other").unwrap();
        tree.create(tree.root(), b"link", Kind::Symlink(b"a".to_vec()), 0o777).unwrap();
    });
    let original = source.snapshot();
    let changed = |change: &dyn Fn(&mut Tree)| {
        let mut tree = original.clone();
        let mtimes: Vec<(u64, Time)> = (0..100).filter_map(|inode| Some((inode, tree.node(inode)?.mtime))).collect();
        change(&mut tree);
        // Only what was meant to differ does.
        for (inode, mtime) in mtimes {
            let _ = tree.change(inode, |node| node.mtime = mtime);
        }
        difference(&original, &tree)
    };
    assert_eq!(changed(&|_| {}), None);
    let file = original.lookup(&[b"g"]).unwrap();
    let changes: [&dyn Fn(&mut Tree); 9] = [
        &|tree| tree.edit(file, |content| content.write(4999, b"y")).unwrap(),
        &|tree| tree.edit(file, |content| content.set_size(5002)).unwrap(),
        &|tree| tree.change(file, |node| node.mode = 0o600).unwrap(),
        &|tree| tree.change(file, |node| node.gid = 7).unwrap(),
        &|tree| tree.change(file, |node| drop(node.extended.insert(b"user.a".to_vec(), b"b".to_vec()))).unwrap(),
        &|tree| tree.unlink(tree.root(), b"other").unwrap(),
        &|tree| {
            tree.file("a/new").unwrap();
        },
        &|tree| {
            let content = tree.node(file).unwrap().content().unwrap().clone();
            tree.unlink(tree.root(), b"g").unwrap();
            tree.create(tree.root(), b"g", Kind::Regular(content), 0o644).unwrap();
        },
        &|tree| {
            tree.unlink(tree.root(), b"link").unwrap();
            tree.create(tree.root(), b"link", Kind::Symlink(b"b".to_vec()), 0o777).unwrap();
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert!(changed(change).is_some(), "change {number} was not found");
    }
    let mut later = original.clone();
    later.change(file, |node| node.mtime.nanoseconds ^= 1).unwrap();
    assert!(difference(&original, &later).is_some(), "one nanosecond");
}

fn opened(source: &GeneratedSource, name: &[u8]) -> Result<Box<dyn Content>, SourceError> {
    let directory = source.directory(&[])?;
    let stat = directory.stat(name)?.unwrap();
    directory.open(name, &stat)
}

#[test]
fn stamps_settle_and_a_change_while_reading_is_torn() {
    let source = GeneratedSource::empty();
    source.with(|tree| tree.file("f").unwrap());
    assert_eq!(opened(&source, b"f").unwrap().finish().unwrap(), ReadVerdict::Unsettled);
    source.clock().advance(std::time::Duration::from_secs(10));
    assert_eq!(opened(&source, b"f").unwrap().finish().unwrap(), ReadVerdict::Settled);
    let mut file = opened(&source, b"f").unwrap();
    source.with(|tree| tree.file("f").and_then(|inode| tree.edit(inode, |content| content.write(0, b"new"))).unwrap());
    assert_eq!(file.finish().unwrap(), ReadVerdict::Torn);
}

#[test]
fn an_unlinked_file_can_be_read_to_its_end_and_another_of_its_name_is_gone() {
    let source = GeneratedSource::empty();
    source.with(|tree| {
        let inode = tree.file("f").unwrap();
        tree.edit(inode, |content| content.write(0, b"old")).unwrap();
    });
    let mut file = opened(&source, b"f").unwrap();
    let stat = source.directory(&[]).unwrap().stat(b"f").unwrap().unwrap();
    source.with(|tree| {
        tree.unlink(tree.root(), b"f").unwrap();
        tree.file("f").unwrap();
    });
    let mut bytes = [0; 10];
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), 3);
    assert_eq!(file.finish().unwrap(), ReadVerdict::Torn);
    let reopened = source.directory(&[]).unwrap().open(b"f", &stat);
    assert!(matches!(reopened, Err(SourceError::Gone { .. })));
}

#[test]
fn a_target_refuses_and_remembers_what_the_contract_forbids() {
    let target = MemoryTarget::default();
    let metadata = |size| Metadata {
        file_type: crate::source::FileType::Regular,
        mode: 0o644,
        uid: 1,
        gid: 2,
        size,
        mtime: Time::default(),
        device: None,
        attributes: Default::default(),
    };
    let bad: [&[&[u8]]; 5] = [&[b".."], &[b"a/b"], &[b""], &[b"nul\0"], &[b"missing", b"f"]];
    for path in bad {
        assert!(matches!(target.create_file(path, 1), Err(TargetError::Unsafe { .. })), "{path:?}");
    }
    let file = target.create_file(&[b"f"], 10).unwrap();
    assert!(target.create_file(&[b"f"], 10).is_err());
    assert!(file.write_at(5, b"123456").is_err());
    assert!(file.commit(&metadata(11)).is_err());
    assert_eq!(target.breaches().len(), 8);
    assert!(target.stat(&[b"f"]).unwrap().is_none(), "what was not committed is not there");
    let file = target.create_file(&[b"f"], 10).unwrap();
    file.write_at(5, b"12345").unwrap();
    file.commit(&metadata(10)).unwrap();
    assert_eq!(target.stat(&[b"f"]).unwrap().unwrap().size, 10);
    assert_eq!(target.breaches().len(), 8);
}
