//! The parser against events that a kernel writes, almost writes, and never writes.

use proptest::prelude::*;

use super::*;

/// A handle as ext4 makes it.
fn handle(inode: u32) -> Vec<u8> {
    [[0; 8].as_slice(), &8_u32.to_ne_bytes(), &1_i32.to_ne_bytes(), &inode.to_ne_bytes(), &[9, 0, 0, 0]].concat()
}

fn place(inode: u32, name: &[u8]) -> Vec<u8> {
    let mut out = [&handle(inode), name, &[0]].concat();
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn info(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (INFO_HEAD_BYTES + body.len()) as u16;
    [&[kind, 0], length.to_ne_bytes().as_slice(), body].concat()
}

fn event(mask: u64, infos: &[Vec<u8>]) -> Vec<u8> {
    event_of(METADATA_VERSION, METADATA_BYTES, mask, infos)
}

fn event_of(version: u8, head_bytes: usize, mask: u64, infos: &[Vec<u8>]) -> Vec<u8> {
    let infos = infos.concat();
    let mut out = ((head_bytes + infos.len()) as u32).to_ne_bytes().to_vec();
    out.extend([version, 0]);
    out.extend((head_bytes as u16).to_ne_bytes());
    out.extend(mask.to_ne_bytes());
    out.extend([0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0]);
    out.resize(head_bytes, 0xee);
    [out, infos].concat()
}

fn parsed(bytes: &[u8]) -> Vec<Result<Record<'_>, Malformed>> {
    records(bytes).collect()
}

fn one(bytes: &[u8]) -> Result<Record<'_>, Malformed> {
    let records = parsed(bytes);
    assert_eq!(records.len(), 1, "{records:?}");
    records[0]
}

fn inode_of(entry: Option<Entry<'_>>) -> Option<u64> {
    entry?.directory.inode()
}

#[test]
fn every_part_of_a_rename_is_read() {
    let infos = [
        info(libc::FAN_EVENT_INFO_TYPE_OLD_DFID_NAME, &place(2, b"old")),
        info(libc::FAN_EVENT_INFO_TYPE_NEW_DFID_NAME, &place(3, b"a name")),
        info(libc::FAN_EVENT_INFO_TYPE_FID, &handle(12)),
    ];
    let bytes = event(libc::FAN_RENAME, &infos);
    let record = one(&bytes).unwrap();
    assert_eq!(record.mask, libc::FAN_RENAME);
    assert_eq!((inode_of(record.old), inode_of(record.new)), (Some(2), Some(3)));
    assert_eq!((record.old.unwrap().name, record.new.unwrap().name), (b"old".as_slice(), b"a name".as_slice()));
    assert_eq!((record.object.unwrap().inode(), record.entry), (Some(12), None));
}

#[test]
fn events_follow_each_other_and_an_overflow_has_no_parts() {
    let error = [7_i32.to_ne_bytes(), 3_i32.to_ne_bytes()].concat();
    let bytes = [
        event(libc::FAN_Q_OVERFLOW, &[]),
        event(libc::FAN_CREATE, &[info(libc::FAN_EVENT_INFO_TYPE_DFID_NAME, &place(2, b"n"))]),
        event(libc::FAN_ATTRIB, &[info(libc::FAN_EVENT_INFO_TYPE_DFID, &handle(5))]),
        event(libc::FAN_FS_ERROR, &[info(libc::FAN_EVENT_INFO_TYPE_ERROR, &error)]),
    ]
    .concat();
    let records: Vec<Record<'_>> = parsed(&bytes).into_iter().map(Result::unwrap).collect();
    assert_eq!(records[0], Record { mask: libc::FAN_Q_OVERFLOW, ..Record::default() });
    assert_eq!((inode_of(records[1].entry), records[1].entry.unwrap().name), (Some(2), b"n".as_slice()));
    assert_eq!((inode_of(records[2].entry), records[2].entry.unwrap().name), (Some(5), b"".as_slice()));
    let subjects = [1, 2].map(|at: usize| records[at].subject().and_then(|subject| subject.inode()));
    assert_eq!(subjects, [None, Some(5)], "a directory is meant itself only where no name in it is told");
    assert_eq!(records[3].error, Some(FilesystemError { errno: 7, count: 3 }));
    assert_eq!(records.len(), 4);
}

#[test]
fn what_a_newer_kernel_adds_is_skipped() {
    let fid = info(libc::FAN_EVENT_INFO_TYPE_FID, &handle(12));
    let unknown = event(libc::FAN_MODIFY, &[info(200, &[1; 40]), fid.clone(), info(201, &[])]);
    assert_eq!(one(&unknown).unwrap().object.unwrap().inode(), Some(12));
    let longer_head = event_of(METADATA_VERSION, 32, libc::FAN_MODIFY, &[fid]);
    assert_eq!(one(&longer_head).unwrap().object.unwrap().inode(), Some(12));
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let good = event(libc::FAN_CREATE, &[info(libc::FAN_EVENT_INFO_TYPE_DFID_NAME, &place(2, b"name"))]);
    let fid = event(libc::FAN_MODIFY, &[info(libc::FAN_EVENT_INFO_TYPE_FID, &handle(12))]);
    let with = |from: &[u8], at: usize, bytes: &[u8]| {
        let mut out = from.to_vec();
        out[at..at + bytes.len()].copy_from_slice(bytes);
        out
    };
    let (info_length, handle_length) = (METADATA_BYTES + 2, METADATA_BYTES + INFO_HEAD_BYTES + FSID_BYTES);
    let length = |part| Malformed::Length { part };
    let short = |value: u16| value.to_ne_bytes();
    let table = [
        (with(&good, 0, &23_u32.to_ne_bytes()), length("head"), "an event shorter than its head"),
        (with(&good, 0, &0_u32.to_ne_bytes()), length("head"), "an event of no length would be read for ever"),
        (with(&good, 0, &u32::MAX.to_ne_bytes()), length("event"), "an event past the end"),
        (with(&good, 6, &short(23)), length("head"), "a head shorter than it can be"),
        (with(&good, 6, &short(u16::MAX)), length("head"), "a head longer than the event"),
        (with(&good, info_length, &short(0)), length("information"), "information of no length would be read for ever"),
        (with(&good, info_length, &short(3)), length("information"), "information shorter than its head"),
        (with(&good, info_length, &short(200)), length("information"), "information past the end"),
        (with(&good, info_length, &short(10)), length("handle"), "information that ends in its handle's head"),
        (with(&fid, handle_length, &9_u32.to_ne_bytes()), length("handle"), "a handle past its information"),
        (with(&fid, handle_length, &u32::MAX.to_ne_bytes()), length("handle"), "a handle of 4 GiB"),
        (with(&good, 4, &[4]), Malformed::Version { found: 4 }, "another version"),
        (with(&good, good.len() - 4, b"beef"), Malformed::Name, "a name without an end"),
        (good[..METADATA_BYTES - 1].to_vec(), length("event"), "one byte less than a head"),
        (good[..15].to_vec(), length("head"), "less than what is read of a head"),
    ];
    for (bytes, expected, why) in table {
        assert_eq!(parsed(&bytes), [Err(expected)], "{why}");
    }
    let broken = with(&good, info_length, &short(3));
    assert_eq!(parsed(&[broken, good.clone()].concat()).len(), 1, "what follows is not guessed");
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(records(&bytes).count() <= bytes.len() / METADATA_BYTES + 1);
    }

    /// What almost is an event gets deeper than noise does.
    #[test]
    fn events_with_a_few_bytes_changed_are_read_to_an_end(
        name in prop::collection::vec(1..=255_u8, 0..255),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let infos = [
            info(libc::FAN_EVENT_INFO_TYPE_DFID_NAME, &place(2, &name)),
            info(libc::FAN_EVENT_INFO_TYPE_FID, &handle(12)),
        ];
        let mut bytes = event(libc::FAN_CREATE, &infos).repeat(3);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        for record in records(&bytes).flatten() {
            let _ = record.object.and_then(|object| object.inode());
            let _ = inode_of(record.entry);
        }
        prop_assert!(records(&bytes).count() <= bytes.len() / METADATA_BYTES + 1);
    }

    #[test]
    fn what_was_written_is_what_is_read(
        events in prop::collection::vec((any::<u64>(), any::<u32>(), prop::collection::vec(1..=255_u8, 0..255)), 0..20),
    ) {
        let bytes: Vec<u8> = events
            .iter()
            .flat_map(|(mask, inode, name)| event(*mask, &[info(libc::FAN_EVENT_INFO_TYPE_DFID_NAME, &place(*inode, name))]))
            .collect();
        let mut read = records(&bytes);
        for (mask, inode, name) in &events {
            let record = read.next().unwrap().unwrap();
            prop_assert_eq!((record.mask, inode_of(record.entry)), (*mask, Some(u64::from(*inode))));
            prop_assert_eq!(record.entry.unwrap().name, name.as_slice());
        }
        prop_assert_eq!(read.next(), None);
    }

    #[test]
    fn any_handle_has_an_inode_or_none(kind in any::<i32>(), bytes in prop::collection::vec(any::<u8>(), 0..130)) {
        for kind in [kind, 1, 0x81, 0x4d, 0x4e, 0x4f] {
            let _ = Handle { kind, bytes: &bytes }.inode();
        }
    }
}
