//! Dead space: what nobody needs any more goes, at a price that is known; small packs become large ones; nothing is lost on the way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use repository::generated::{Dice, GeneratedSource, Kind, MemoryTarget, Shape, assert_same_tree};
use repository::read::{RestoreOptions, View, restore};
use repository::session::{PointId, read_point};
use repository::tree::PackId;
use repository::upkeep::Keeper;
use repository::write::{BackupReport, backup};

use super::world::World;

pub(super) const PAGE: u64 = 4096;
pub(super) const MIB: u64 = 1 << 20;

/// What a point refers to.
pub(super) fn packs_of(world: &World, point: PointId) -> BTreeSet<PackId> {
    let point = read_point(&world.domain(), point).expect("a point");
    point.reference.packs.iter().map(|(pack, _)| pack).collect()
}

fn pack_bytes(world: &World, packs: &BTreeSet<PackId>) -> u64 {
    let (domain, store) = (world.domain(), world.store());
    let size = |pack: &PackId| store.size(&domain.pack_name(*pack)).expect("an answer").expect("a pack");
    packs.iter().map(size).sum()
}

/// A file of pages that cannot be compressed.
fn database(pages: u64) -> GeneratedSource {
    let source = GeneratedSource::empty();
    overwrite(&source, 0..pages, 1);
    source
}

fn overwrite(source: &GeneratedSource, pages: impl IntoIterator<Item = u64>, round: u64) {
    source.with(|tree| {
        let inode = tree.file("database").expect("a file");
        let write = |content: &mut repository::generated::FileContent| {
            pages.into_iter().for_each(|page| content.make_page(page, 3 * (1 + page + (round << 20))));
        };
        tree.edit(inode, write).expect("pages");
    });
}

/// The requests of a restore, which must give what the source has.
fn restore_requests(world: &World, point: PointId) -> u64 {
    let domain = world.domain();
    let view = View::open(&domain, point, 2 << 20).expect("a view");
    let target = MemoryTarget::default();
    let options = RestoreOptions { memory_budget_bytes: 32 << 20, workers: 2, ..RestoreOptions::default() };
    restore(&domain, &view, &options, &target).expect("a restore");
    assert_same_tree(&world.source.snapshot(), &target.snapshot(), "restored");
    let requests = domain.store().requests();
    requests.get + requests.list
}

#[test]
fn overwriting_again_and_again_keeps_packs_within_1_7_times_what_lives() {
    let pages = 16 * MIB / PAGE;
    let world = World::new(1, database(pages));
    world.backup();
    let mut dice = Dice::new(1);
    let (mut written, mut changed, mut moved, mut most) = (0, 0, 0, 0.0f64);
    for round in 2..72 {
        let chosen: BTreeSet<u64> = (0..pages / 20).map(|_| dice.below(pages)).collect();
        overwrite(&world.source, chosen, round);
        let (report, requests) = world.measured_backup();
        written += requests.bytes_sent;
        changed += report.statistics.bytes_changed;
        moved += report.statistics.bytes_moved;
        let live = 16 * MIB;
        most = most.max(pack_bytes(&world, &packs_of(&world, report.point)) as f64 / live as f64);
        if round % 10 == 0 {
            world.assert_restores(report.point, &world.source.snapshot(), &format!("round {round}"));
        }
    }
    let factor = written as f64 / changed as f64;
    println!("written per changed {factor:.3}, moved {moved}, most {most:.3} times what lives");
    // The content does not compress: of content that does so 2:1 it is half, and 0.75 is what increments may cost.
    assert!(moved > 0 && factor < 1.5, "{factor:.3} bytes written per byte changed, {moved} moved");
    // 1.7 times, and the slack of 4 MiB below which nobody looks.
    assert!(most < 2.05, "{most:.3}");
    world.assert_sound("after 70 rounds");
}

fn append(source: &GeneratedSource, bytes: &[u8]) {
    source.with(|tree| {
        let inode = tree.file("log").expect("a file");
        tree.edit(inode, |content| content.write(content.size(), bytes)).expect("an append");
    });
}

#[test]
fn many_small_runs_leave_a_bounded_number_of_packs() {
    let world = World::new(1, GeneratedSource::empty());
    let mut dice = Dice::new(1);
    let mut most = 0;
    // Twice over what is permitted, and a few more.
    for run in 1..=560u64 {
        let mut bytes = vec![0; 6_000];
        dice.fill(&mut bytes);
        append(&world.source, &bytes);
        let (report, _) = world.measured_backup();
        let packs = packs_of(&world, report.point).len();
        most = most.max(packs);
        if run % 80 == 0 {
            let requests = restore_requests(&world, report.point);
            // One for each pack, and what it takes to open the point and its tables.
            assert!(requests <= packs as u64 + 20, "run {run}: {requests} requests for {packs} packs");
        }
        // 256 are permitted; the next one has them written again as one, which the run after it would count.
        assert!(packs <= 256 + 2, "run {run}: {packs} packs");
    }
    assert!(most > 250, "they were written together sooner than they have to be: {most}");
    world.assert_sound("after many appends");
}

/// Files of every kind whose content lies in packs: large, small, linked, with large attributes.
fn every_kind() -> GeneratedSource {
    let source = database(3 * MIB / PAGE);
    source.with(|tree| {
        let edge = tree.file("edge").expect("a file");
        tree.edit(edge, |content| content.write(0, &noise(7, 300_001))).expect("content");
        let linked = tree.file("linked").expect("a file");
        tree.edit(linked, |content| content.write(0, &noise(8, 200_000))).expect("content");
        tree.link(tree.root(), b"other-name", linked).expect("a link");
        for number in 0..40u64 {
            let small = tree.file(&format!("small/{number}")).expect("a file");
            tree.edit(small, |content| content.write(0, &noise(100 + number, 5_000))).expect("content");
        }
        let twin = tree.file("small/twin").expect("a file");
        tree.edit(twin, |content| content.write(0, &noise(9, 3_000))).expect("content");
        tree.link(tree.root(), b"twin", twin).expect("a link");
        for path in ["edge", "small/0"] {
            let inode = tree.file(path).expect("a file");
            tree.change(inode, |node| drop(node.extended.insert(b"user.large".to_vec(), noise(10, 9_000))))
                .expect("one");
        }
        let inode = tree.directory("small").expect("a directory");
        tree.change(inode, |node| drop(node.extended.insert(b"user.large".to_vec(), noise(11, 9_000)))).expect("one");
        let root = tree.root();
        tree.change(root, |node| drop(node.extended.insert(b"user.large".to_vec(), noise(12, 9_000)))).expect("one");
    });
    source
}

fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    Dice::new(seed).fill(&mut noise);
    noise
}

fn quarantine(world: &World, packs: impl IntoIterator<Item = PackId>) {
    let upkeep = Arc::new(world.repository.upkeep().expect("the upkeep key"));
    let keeper = Keeper::new(world.domain(), upkeep).expect("a keeper");
    packs.into_iter().for_each(|pack| keeper.quarantine(pack).expect("a report"));
}

#[test]
fn what_lies_in_a_damaged_pack_is_read_and_written_again() {
    let world = World::new(1, every_kind());
    let first = world.backup();
    let damaged = packs_of(&world, first.point);
    // Unchanged since, and a little beside it.
    overwrite(&world.source, [5], 2);
    let second = world.backup();
    quarantine(&world, damaged.iter().copied());
    let third = world.backup();
    assert_eq!(third.parent, Some(second.point.session));
    let needed = packs_of(&world, third.point);
    assert!(needed.is_disjoint(&damaged), "{needed:?} of {damaged:?}");
    let name = |pack: &PackId| world.domain().pack_name(*pack);
    damaged.iter().for_each(|pack| world.delete(&name(pack)));
    world.assert_restores(third.point, &world.source.snapshot(), "without the damaged packs");
    let (fourth, requests) = world.measured_backup();
    assert_eq!((fourth.statistics.bytes_read, fourth.statistics.bytes_moved), (0, 0), "once is enough");
    assert!(requests.total() <= 11, "{requests:?}");
    world.assert_restores(fourth.point, &world.source.snapshot(), "after that");
}

#[test]
fn a_damaged_pack_of_data_alone_costs_what_lay_in_it() {
    // Enough for several packs, of which one is damaged.
    let world = World::new(1, database(24 * MIB / PAGE));
    let first = world.backup();
    let packs = packs_of(&world, first.point);
    assert!(packs.len() >= 3, "{packs:?}");
    let damaged = *packs.iter().nth(1).expect("a second");
    quarantine(&world, [damaged]);
    let (second, _) = world.measured_backup();
    let held = pack_bytes(&world, &[damaged].into());
    let statistics = second.statistics;
    assert!(statistics.bytes_moved.abs_diff(held) < 64 << 10, "{statistics:?}, {held}");
    assert_eq!((statistics.bytes_changed, statistics.bytes_new), (0, 0));
    assert_eq!(statistics.bytes_read, statistics.bytes_moved, "nothing else is read");
    assert!(!packs_of(&world, second.point).contains(&damaged));
    world.delete(&world.domain().pack_name(damaged));
    world.assert_restores(second.point, &world.source.snapshot(), "without the damaged pack");
}

#[test]
fn what_changed_or_went_meanwhile_is_what_the_source_has_now() {
    for seed in super::world::seeds(6) {
        let shape = Shape::mixed();
        let world = World::new(seed, GeneratedSource::new(seed, &shape));
        let mut dice = Dice::new(seed);
        for round in 0..4 {
            let point = world.backup().point;
            let packs: Vec<PackId> = packs_of(&world, point).into_iter().filter(|_| dice.one_in(2)).collect();
            quarantine(&world, packs.iter().copied());
            world.source.operate(&mut dice, &shape, 30);
            let healed = world.backup();
            let needed = packs_of(&world, healed.point);
            assert!(packs.iter().all(|pack| !needed.contains(pack)), "seed {seed}, round {round}");
            world.assert_restores(healed.point, &world.source.snapshot(), &format!("seed {seed}, round {round}"));
            world.assert_sound(&format!("seed {seed}, round {round}"));
        }
    }
}

#[test]
fn a_page_that_changed_without_a_stamp_is_noticed_when_it_is_moved() {
    let world = World::new(1, database(2 * MIB / PAGE));
    let first = world.backup();
    world.source.with(|tree| {
        let inode = tree.file("database").expect("a file");
        tree.edit_unseen(inode, |content| content.make_page(77, 999)).expect("a page");
    });
    let unseen = world.backup();
    assert_eq!(unseen.statistics.bytes_read, 0, "the stamp says that nothing has changed");
    quarantine(&world, packs_of(&world, first.point));
    let healed = world.backup();
    world.assert_restores(healed.point, &world.source.snapshot(), "what the source has");
    world.assert_sound("after an unseen change");
}

#[test]
fn a_file_that_cannot_be_read_keeps_what_is_left_of_it() {
    use repository::generated::{Action, Moment};
    let world = World::new(1, every_kind());
    let before = world.source.snapshot();
    let first = world.backup();
    quarantine(&world, packs_of(&world, first.point));
    world.source.when(Moment::Open, Some("database"), Action::Unreadable, 9);
    let partial = world.backup();
    assert_eq!(partial.outcome, repository::point::Outcome::Partial);
    assert_eq!(partial.not_captured[0].path, "database");
    // It was not damaged really.
    world.assert_restores(partial.point, &before, "older content stands");
    world.source.calm();
    let healed = world.backup();
    let damaged = packs_of(&world, first.point);
    assert!(packs_of(&world, healed.point).is_disjoint(&damaged), "as soon as it can be read");
    world.assert_restores(healed.point, &before, "healed");
}

/// A backup of another source under another name, compared with the volume.
fn backup_like(world: &World, source: &GeneratedSource, like: Option<&str>) -> (BackupReport, u64) {
    // The clone's clock began with 1,000 seconds more; the domain has the other.
    source.clock().advance(Duration::from_secs(10));
    world.source.clock().advance(Duration::from_secs(2_000));
    let domain = world.domain();
    let before = domain.store().requests();
    let options =
        repository::write::BackupOptions { volume: "clone".into(), like: like.map(str::to_owned), ..world.options() };
    let report = backup(&domain, source, &options).expect("a backup");
    (report, domain.store().requests().since(before).bytes_sent)
}

/// The same names and content as `every_kind`, but other inodes, handles and times.
fn clone_of_every_kind() -> GeneratedSource {
    let source = GeneratedSource::empty();
    source.with(|tree| {
        for number in 0..9u64 {
            tree.create(tree.root(), format!("aside{number}").as_bytes(), Kind::Regular(Default::default()), 0o600)
                .expect("a file");
        }
    });
    let like = every_kind();
    source.with(|tree| {
        tree.clock().advance(Duration::from_secs(1000));
        like.with(|like| {
            let root = tree.root();
            let names = like.names();
            let mut made = std::collections::BTreeMap::from([(like.root(), root)]);
            for (directory, name, inode) in names {
                let below = made[&directory];
                if let Some(known) = made.get(&inode).copied() {
                    tree.link(below, &name, known).expect("a link");
                    continue;
                }
                let node = like.node(inode).expect("a node");
                let kind = match node.content() {
                    Some(content) => Kind::Regular(content.clone()),
                    None => Kind::Directory(Default::default()),
                };
                let new = tree.create(below, &name, kind, 0o644).expect("an entry");
                tree.change(new, |into| into.extended = node.extended.clone()).expect("attributes");
                made.insert(inode, new);
            }
        });
    });
    source
}

#[test]
fn a_near_identical_clone_costs_its_difference() {
    let world = World::new(1, every_kind());
    world.backup();
    let clone = clone_of_every_kind();
    overwrite(&clone, [100, 300], 5);
    let (report, sent) = backup_like(&world, &clone, Some(super::world::VOLUME));
    let statistics = report.statistics;
    assert_eq!(report.parent, None, "it is the first of its volume");
    let reference = read_point(&world.domain(), report.point).expect("the point").reference;
    assert_eq!(reference.parent, None, "a parent is of the same volume");
    // Two files have two names each, and are read once.
    assert_eq!(statistics.bytes_read + 203_000, statistics.bytes_scanned, "nothing is trusted");
    assert_eq!(statistics.bytes_changed, 2 * PAGE, "{statistics:?}");
    // Attributes are stored again with their entry: four of 9,000 bytes. The rest is rows.
    assert!(sent < 2 * PAGE + 4 * 9_000 + (24 << 10), "{sent} bytes, {statistics:?}");
    world.assert_restores(report.point, &clone.snapshot(), "the clone");
    let (again, sent) = backup_like(&world, &clone, None);
    assert_eq!((again.parent, again.statistics.bytes_read), (Some(report.point.session), 0));
    assert!(sent < PAGE, "{sent}");
    world.assert_sound("two volumes");
}

#[test]
fn without_a_like_a_clone_is_a_volume_as_any_other() {
    let world = World::new(1, every_kind());
    world.backup();
    let clone = clone_of_every_kind();
    let (report, _) = backup_like(&world, &clone, None);
    assert!(report.statistics.bytes_new > 3 * MIB, "{:?}", report.statistics);
    let (report, _) = backup_like(&world, &clone, Some(super::world::VOLUME));
    assert_eq!(report.statistics.bytes_read, 0, "its own point goes first");
}

#[test]
fn a_like_that_has_no_restore_point_is_refused_before_anything_is_read() {
    let world = World::new(1, every_kind());
    world.backup();
    let options =
        repository::write::BackupOptions { volume: "clone".into(), like: Some("typo".into()), ..world.options() };
    let error = backup(&world.domain(), &world.source, &options).expect_err("nobody is called that");
    assert_eq!(error.class(), model::ErrorClass::Missing, "{error}");
}
