//! Configurations: the bounds within which the claims were checked, and for each rule one in which its absence shows.
//!
//! In: a name. Out: the search. Never: a bound that is not listed here is claimed.

use super::{
    check::{Outcome, explore},
    collector::Lists,
    quarantine::Quarantine,
    replica::{self, Replica},
    replicator::Task,
    repository::{self, Part, Repository},
    rotation::Rotation,
    rules::{Rule, Rules},
    set::Set,
    store::Left,
    writer::{Pins, Purpose},
};

/// A model with its bounds.
#[derive(Clone, Debug)]
pub enum Subject {
    /// Writers, readers and collectors of one store.
    Repository(repository::Bounds),
    /// A source, replicators and a target.
    Replica(replica::Bounds),
    /// A pack that rots so many times.
    Quarantine(u8),
    /// Keys; with or without a pin between the sessions.
    Rotation(bool),
}

/// A named search.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Its name.
    pub name: &'static str,
    /// What is in it.
    pub about: &'static str,
    /// Whether every test run has it; the others are for `cargo xtask model`.
    pub short: bool,
    /// The model.
    pub subject: Subject,
}

/// More transitions than any configuration here has.
const TRANSITIONS_MAX: usize = 2_000_000_000;

impl Configuration {
    /// Looks at every state.
    pub fn run(&self, rules: Rules) -> Outcome {
        match &self.subject {
            Subject::Repository(bounds) => explore(Repository::new(bounds.clone(), rules), TRANSITIONS_MAX),
            Subject::Replica(bounds) => explore(Replica::new(bounds.clone(), rules), TRANSITIONS_MAX),
            Subject::Quarantine(rots) => explore(Quarantine { rots: *rots, rules }, TRANSITIONS_MAX),
            Subject::Rotation(pins) => explore(Rotation { pins: *pins, rules }, TRANSITIONS_MAX),
        }
    }
}

/// All of them.
pub fn all() -> Vec<Configuration> {
    [repositories(), replicas(), others()].concat()
}

/// The configuration of this name.
pub fn named(name: &str) -> Option<Configuration> {
    all().into_iter().find(|configuration| configuration.name == name)
}

fn short(name: &'static str, about: &'static str, subject: Subject) -> Configuration {
    Configuration { name, about, short: true, subject }
}

fn long(name: &'static str, about: &'static str, subject: Subject) -> Configuration {
    Configuration { name, about, short: false, subject }
}

const BACKUP: Part = Part { purpose: Purpose::Backup, packs: 1, follows: false, pins: Pins::Any };
/// After a checkpoint.
const NEXT: Part = Part { follows: true, pins: Pins::AtLeastBefore, ..BACKUP };
/// The same with nothing else pinned.
const NEXT_ONLY: Part = Part { follows: true, pins: Pins::Before, ..BACKUP };
const UNDELETE: Part = Part { packs: 0, ..BACKUP };
const READER: Part = Part { purpose: Purpose::Reading, packs: 0, ..BACKUP };
const EVACUATION: Part = Part { purpose: Purpose::Evacuation, ..BACKUP };

/// These sessions, these runs of collectors, so many dooms; everything else as simple as it can be.
fn bounds(parts: &[Part], runs: &[u8], dooms: u8) -> repository::Bounds {
    repository::Bounds {
        first_packs: 1,
        parts: parts.to_vec(),
        runs: runs.to_vec(),
        left: Left { dooms, ..Left::default() },
        lists: Lists::AtOnce,
        any_order: false,
        failures: false,
        symmetric: false,
    }
}

fn late(lates: u8, bounds: repository::Bounds) -> repository::Bounds {
    repository::Bounds { left: Left { lates, ..bounds.left }, ..bounds }
}

fn repositories() -> Vec<Configuration> {
    use repository::Bounds;
    let of = Subject::Repository;
    let damaged = bounds(&[BACKUP], &[1, 1], 1);
    let left = damaged.left;
    let any_order = Bounds { any_order: true, first_packs: 2, ..bounds(&[EVACUATION], &[2, 1], 1) };
    let keys = |lists: Lists, bounds: Bounds| Bounds { lists, ..bounds };
    let same = |bounds: Bounds| Bounds { symmetric: true, ..bounds };
    vec![
        short("single", "1 writer, runs 1+1, 1 doom", of(bounds(&[BACKUP], &[1, 1], 1))),
        short("twice", "1 writer, runs 2, 1 doom", of(bounds(&[BACKUP], &[2], 1))),
        long(
            "handover-dead",
            "handover, runs 2+1",
            of(keys(Lists::Backwards, bounds(&[Part { pins: Pins::Nothing, ..BACKUP }, NEXT_ONLY], &[2, 1], 1))),
        ),
        long("single-2-1", "1 writer, runs 2+1, 1 doom", of(bounds(&[BACKUP], &[2, 1], 1))),
        short("late", "1 writer, runs 1+1, 1 doom, 1 late request", of(late(1, bounds(&[BACKUP], &[1, 1], 1)))),
        short("late-twice", "1 writer, runs 2, 2 dooms, 2 late requests", of(late(2, bounds(&[BACKUP], &[2], 2)))),
        short(
            "ascending",
            "1 writer, runs 1+1, lists key by key",
            of(keys(Lists::KeyByKey, bounds(&[BACKUP], &[1, 1], 1))),
        ),
        short("descending", "the same, last key first", of(keys(Lists::Backwards, bounds(&[BACKUP], &[1, 1], 1)))),
        short(
            "failing",
            "1 writer, runs 2, lists and gets fail",
            of(Bounds { failures: true, ..bounds(&[BACKUP], &[2], 1) }),
        ),
        short("undelete", "a session without packs, runs 2+1, 2 dooms", of(bounds(&[UNDELETE], &[2, 1], 2))),
        short("reader", "a reader for ever, runs 1+1, 2 dooms", of(bounds(&[READER], &[1, 1], 2))),
        short(
            "evacuation",
            "any part of the pin is kept, runs 1+1",
            of(Bounds { first_packs: 2, ..bounds(&[EVACUATION], &[1, 1], 1) }),
        ),
        short(
            "chain",
            "2 writers in a row, each pins the point before, runs 1+1, 2 dooms",
            of(bounds(&[NEXT_ONLY, NEXT_ONLY], &[1, 1], 2)),
        ),
        short(
            "handover",
            "2 writers in a row, the second pins the first, runs 1+1, 1 doom, lists last key first",
            of(same(keys(Lists::Backwards, bounds(&[Part { pins: Pins::Nothing, ..BACKUP }, NEXT_ONLY], &[1, 1], 1)))),
        ),
        short(
            "lost-open",
            "1 writer, runs 1+1, the first point's .open is lost",
            of(Bounds { left: Left { losses: 1, ..left }, ..damaged.clone() }),
        ),
        short(
            "repair",
            "1 writer, runs 1+1, 2 packs are put again",
            of(Bounds { left: Left { repairs: 2, ..left }, ..damaged }),
        ),
        short(
            "aborted",
            "2 writers, run 1, no doom",
            of(bounds(&[BACKUP, Part { pins: Pins::Before, ..BACKUP }], &[1], 0)),
        ),
        long("two", "2 writers, any pins, runs 1+1, 1 doom", of(same(bounds(&[BACKUP, BACKUP], &[1, 1], 1)))),
        long("two-late", "the same, 1 late request", of(same(late(1, bounds(&[BACKUP, BACKUP], &[1, 1], 1))))),
        long(
            "two-ascending",
            "2 writers, runs 1+1, 1 doom, lists key by key",
            of(same(keys(Lists::KeyByKey, bounds(&[BACKUP, BACKUP], &[1, 1], 1)))),
        ),
        long(
            "two-descending",
            "the same, last key first",
            of(same(keys(Lists::Backwards, bounds(&[BACKUP, BACKUP], &[1, 1], 1)))),
        ),
        long(
            "two-repair",
            "2 writers in a row, runs 1+1, 1 doom, 1 pack is put again",
            of(same(Bounds {
                left: Left { dooms: 1, repairs: 1, ..Left::default() },
                ..bounds(&[BACKUP, NEXT], &[1, 1], 1)
            })),
        ),
        long(
            "checkpoints",
            "2 writers in a row, the second pins the first and more, runs 2+1, 2 dooms",
            of(bounds(&[BACKUP, NEXT], &[2, 1], 2)),
        ),
        long(
            "checkpoints-late",
            "the same, runs 1+1, 1 doom, 1 late request",
            of(same(late(1, bounds(&[BACKUP, NEXT], &[1, 1], 1)))),
        ),
        long(
            "checkpoints-keys",
            "the same, lists key by key",
            of(same(keys(Lists::KeyByKey, bounds(&[BACKUP, NEXT], &[1, 1], 2)))),
        ),
        long("three", "3 writers in a row, runs 1+1, 1 doom", of(same(bounds(&[BACKUP, NEXT, NEXT], &[1, 1], 1)))),
        long(
            "reader-writer",
            "a reader for ever and a writer, runs 1+1, 1 doom",
            of(same(bounds(&[READER, BACKUP], &[1, 1], 1))),
        ),
        long("single-2-2", "1 writer, runs 2+2, 2 dooms", of(same(bounds(&[BACKUP], &[2, 2], 2)))),
        long("single-late", "1 writer, runs 2+1, 1 doom, 2 late requests", of(late(2, bounds(&[BACKUP], &[2, 1], 1)))),
        long(
            "evacuation-any",
            "evacuation, 2 packs to start with, packs go in any order, runs 2+1, 2 late requests",
            of(late(2, any_order)),
        ),
    ]
}

/// These points, replicators and runs; everything else as simple as it can be.
fn copies(needs: &[&[u8]], replicators: &[(Task, u8)], runs: &[u8]) -> replica::Bounds {
    replica::Bounds {
        needs: needs.iter().map(|needs| needs.iter().copied().collect::<Set>()).collect(),
        committed: needs.len() as u8,
        replicators: replicators.to_vec(),
        runs: runs.to_vec(),
        source_dooms: needs.len() as u8,
        target_dooms: 1,
        lates: 0,
        promotion: false,
        reader: false,
        lists: Lists::AtOnce,
        symmetric: false,
    }
}

fn replicas() -> Vec<Configuration> {
    use Task::{Any, Copies, Records};
    use replica::Bounds;
    let of = Subject::Replica;
    let one: &[&[u8]] = &[&[0]];
    let shared: &[&[u8]] = &[&[0], &[0]];
    let grown: &[&[u8]] = &[&[0], &[0, 1]];
    let growing = |bounds: Bounds| Bounds { committed: 1, source_dooms: 1, ..bounds };
    let same = |bounds: Bounds| Bounds { symmetric: true, ..bounds };
    vec![
        short("copy", "1 point, replicators 2, runs 2", of(copies(one, &[(Any, 2)], &[2]))),
        short(
            "copy-promoted",
            "1 point, replicators 1+1, runs 1, the target is promoted",
            of(Bounds { promotion: true, ..copies(one, &[(Copies, 1), (Records, 1)], &[1]) }),
        ),
        short(
            "copy-late",
            "1 point, replicators 1+1, runs 1, 2 late requests",
            of(Bounds { lates: 2, ..copies(one, &[(Copies, 1), (Records, 1)], &[1]) }),
        ),
        short(
            "copy-growing",
            "2 points, one after the other, replicators 1+1, runs 1",
            of(growing(copies(grown, &[(Copies, 1), (Records, 1)], &[1]))),
        ),
        short(
            "copy-shared",
            "2 points with the same pack, replicators 2+1, runs 1",
            of(copies(shared, &[(Copies, 2), (Records, 1)], &[1])),
        ),
        long(
            "copies",
            "2 points, one after the other, replicators 2+1, runs 2",
            of(growing(copies(grown, &[(Any, 2), (Any, 1)], &[2]))),
        ),
        long(
            "copies-shared",
            "2 points with the same pack, replicators 2+2, runs 1",
            of(same(copies(shared, &[(Any, 2), (Any, 2)], &[1]))),
        ),
        long(
            "copies-late",
            "1 point, replicators 2+1, runs 2, 2 late requests",
            of(Bounds { lates: 2, ..copies(one, &[(Any, 2), (Any, 1)], &[2]) }),
        ),
        long(
            "copies-late-two",
            "2 points, replicators 1+1, runs 1, 1 late request",
            of(Bounds { lates: 1, ..copies(shared, &[(Any, 1), (Any, 1)], &[1]) }),
        ),
        long(
            "copies-collectors",
            "1 point, replicators 2+1, runs 1+1",
            of(same(copies(one, &[(Any, 2), (Any, 1)], &[1, 1]))),
        ),
        long(
            "copies-ascending",
            "2 points with the same pack, replicators 2+1, runs 1, lists key by key",
            of(Bounds { lists: Lists::KeyByKey, ..copies(shared, &[(Any, 2), (Any, 1)], &[1]) }),
        ),
        long(
            "copies-descending",
            "the same, last key first",
            of(Bounds { lists: Lists::Backwards, ..copies(shared, &[(Any, 2), (Any, 1)], &[1]) }),
        ),
        long(
            "copies-promoted",
            "2 points with the same pack, replicators 1+1, runs 1, the target is promoted",
            of(Bounds { promotion: true, ..copies(shared, &[(Any, 1), (Any, 1)], &[1]) }),
        ),
        long(
            "copies-read",
            "1 point, replicators 1+1, runs 2, a reader for ever at the target",
            of(Bounds { reader: true, ..copies(one, &[(Any, 1), (Any, 1)], &[2]) }),
        ),
    ]
}

fn others() -> Vec<Configuration> {
    vec![
        short("quarantine", "a pack rots 3 times, 2 verifiers, 2 repairs", Subject::Quarantine(3)),
        short("rotation", "2 writers, 2 rotations at once, a run that destroys keys", Subject::Rotation(false)),
        short("rotation-pinned", "the same with pins between the writers", Subject::Rotation(true)),
    ]
}

/// Rules that guard against what an unannounced collector does. Since runs are announced nothing breaks without them within these bounds; they
/// are kept as the second guard, and their absence shows where runs are not announced.
const SECOND_GUARDS: [Rule; 5] = [
    Rule::RootsBeforeSessions,
    Rule::LookForOwnPoint,
    Rule::OpenLookedForAgain,
    Rule::GoneOpenEndsRun,
    Rule::OpenGoesBeforePoint,
];

/// All rules but this one, and without the first guard where it is a second.
pub fn without(rule: Rule) -> Rules {
    let rules = Rules::ALL.without(rule);
    if SECOND_GUARDS.contains(&rule) { rules.without(Rule::CollectorAnnounces) } else { rules }
}

/// For each rule the configuration in which its absence breaks a claim, and which one.
pub const MUTANTS: &[(Rule, &str, char)] = &[
    (Rule::OpenSentOnce, "late", 'B'),
    (Rule::LookAtPins, "single", 'C'),
    (Rule::LookAtPinMarks, "single", 'C'),
    (Rule::LookAtPinOpen, "single", 'C'),
    (Rule::PinMarksBeforeOpen, "single", 'C'),
    (Rule::PacksBeforePoint, "single", 'B'),
    (Rule::LookAtOwnMarks, "single", 'A'),
    (Rule::OwnAbortCounts, "single", 'A'),
    (Rule::LookAtOwnOpen, "twice", 'A'),
    (Rule::OwnMarksBeforeOpen, "twice", 'A'),
    (Rule::CollectorAnnounces, "handover", 'B'),
    (Rule::CollectorsKeepNames, "handover", 'B'),
    (Rule::CollectorLooksAtOwn, "handover-dead", 'B'),
    (Rule::MarksListedFirst, "single", 'C'),
    (Rule::DoomBeforeSessions, "single", 'C'),
    (Rule::RootsBeforeSessions, "single", 'B'),
    (Rule::SessionsAfterPacks, "single", 'B'),
    (Rule::PinsAreLive, "single", 'C'),
    (Rule::OwnPacksAreLive, "single", 'B'),
    (Rule::LookForOwnPoint, "single", 'B'),
    (Rule::PinsBeforeOwnPoint, "single", 'B'),
    (Rule::OpenLookedForAgain, "chain", 'B'),
    (Rule::GoneOpenEndsRun, "chain", 'B'),
    (Rule::PinnedNamesStay, "single", 'C'),
    (Rule::OpenGoesBeforePoint, "chain", 'B'),
    (Rule::MarksGoLast, "single", 'B'),
    (Rule::OpenOfPointStays, "single", 'A'),
    (Rule::AbortBeforeDead, "single", 'E'),
    (Rule::LookBeforeDead, "single", 'E'),
    (Rule::DeadCountsNextRun, "aborted", 'C'),
    (Rule::PointAnnouncesCopy, "copy-shared", 'B'),
    (Rule::LookAtSource, "copy-shared", 'B'),
    (Rule::SourceMarksBeforeOpen, "copy-shared", 'B'),
    (Rule::OpenCopiedLast, "copy-shared", 'B'),
    (Rule::LookAtTargetMarks, "copy-shared", 'A'),
    (Rule::LookForPromotion, "copy-promoted", 'B'),
    (Rule::OnlyGonePacksGo, "copy-shared", 'B'),
    (Rule::OnlyGonePointsDoomed, "copy-shared", 'K'),
    (Rule::TargetListedBeforeSource, "copy-growing", 'K'),
    (Rule::GoneReadFirst, "copy-shared", 'B'),
    (Rule::TombstonesStay, "copy-shared", 'A'),
    (Rule::ReportNamesFresh, "quarantine", 'Q'),
    (Rule::ReportsListedBeforeRepair, "quarantine", 'Q'),
    (Rule::LookAtKeys, "rotation", 'G'),
    (Rule::KeysListedFirst, "rotation", 'G'),
    (Rule::OnlyOlderEpochsGo, "rotation", 'G'),
    (Rule::PointKeysCount, "rotation", 'F'),
    (Rule::SessionKeysCount, "rotation", 'G'),
];
