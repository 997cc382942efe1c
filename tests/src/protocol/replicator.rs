//! Replicator: copies one restore point to a target, or records there what the source no longer has.
//!
//! In: both stores, and how far it is. Out: every way it can go on. Never: deletes, or writes to the source.

use super::{
    collector::Lists,
    replica::Source,
    rules::{Rule, Rules},
    set::Set,
    store::{Kind, Store},
};

/// What a run of the replicator does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
enum Stage {
    /// A run begins: a point is chosen, or recording.
    #[default]
    Begin,
    PutPoint,
    LookAtMarks,
    LookAtOpen,
    LookForPromotion,
    ListTarget,
    CopyPacks,
    PutOpen,
    LookAtTarget,
    Report,
    RecordTarget,
    RecordSource,
    PutGone,
}

/// What the runs of a replicator are for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Task {
    /// Each run copies one point or records what is gone.
    #[default]
    Any,
    /// Each run copies one point.
    Copies,
    /// Each run records what is gone.
    Records,
}

/// What the store operation was and what came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the variants are the rules R1 to R5 and the record of what is gone")]
pub enum Operation {
    GetPoint { point: u8 },
    PutPoint { point: u8 },
    LookAtSourceMarks { point: u8, doomed: bool },
    LookAtSourceOpen { point: u8, there: bool },
    LookForPromotion { promoted: bool },
    ListTargetPacks { seen: Set },
    GetPack { pack: u8, there: bool },
    PutPack { pack: u8 },
    PutOpen { point: u8 },
    LookAtTargetMarks { point: u8, doomed: bool },
    Report { point: u8, zombie: bool },
    RecordTarget { packs: Set, points: Set },
    RecordSource { packs: Set, points: Set },
    PutGone { packs: Set, points: Set },
    StartAgain,
}

/// What a replicator works on, besides the target.
pub struct Copying<'a> {
    /// The source.
    pub source: &'a Source,
    /// The rules it follows.
    pub rules: Rules,
    /// How it reads lists.
    pub lists: Lists,
    /// The packs that each point needs.
    pub needs: &'a [Set],
}

/// One replicator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Replicator {
    /// Runs left, the present one included.
    runs: u8,
    task: Task,
    stage: Stage,
    point: u8,
    cursor: u8,
    /// A pack that was read and not yet put.
    holds: bool,
    /// Not known to it: when it put `.open`, the target had already doomed the point.
    zombie: bool,
    missing: Set,
    packs: Set,
    points: Set,
}

impl Copying<'_> {
    /// How many names a list may have.
    fn names(&self) -> u8 {
        let all = self.needs.iter().fold(Set::below(self.needs.len() as u8), |all, &needs| all | needs);
        all.iter().last().map_or(0, |last| last + 1)
    }

    /// The keys that one operation of a list reads.
    fn keys(&self, cursor: u8) -> Set {
        match self.lists {
            Lists::AtOnce => Set::ALL,
            Lists::KeyByKey => Set::of(cursor),
            Lists::Backwards => Set::of(self.names() - 1 - cursor),
        }
    }
}

type Successors = Vec<(Operation, Store, Replicator)>;

impl Replicator {
    /// A replicator that will run so many times.
    pub fn new(task: Task, runs: u8) -> Replicator {
        Replicator { runs, task, ..Replicator::default() }
    }

    /// Every way in which it can go on; a crash is the start of the next run.
    pub fn successors(&self, target: &Store, copying: &Copying<'_>, out: &mut Successors) {
        if self.runs == 0 {
            return;
        }
        if self.stage != Stage::Begin && self.runs > 1 {
            out.push((Operation::StartAgain, *target, self.ended()));
        }
        match self.stage {
            Stage::Begin => self.begin(target, copying, out),
            Stage::RecordTarget | Stage::RecordSource | Stage::PutGone => self.record(target, copying, out),
            Stage::ListTarget | Stage::CopyPacks => self.copy_packs(target, copying, out),
            _ => self.copy_point(target, copying, out),
        }
    }

    fn begin(&self, target: &Store, copying: &Copying<'_>, out: &mut Successors) {
        let seen = copying.source.point - copying.source.doomed;
        for point in seen.iter().filter(|_| self.task != Task::Records) {
            let chosen = Replicator { point, missing: copying.needs[point as usize], ..*self };
            out.push((Operation::GetPoint { point }, *target, chosen.after(Stage::Begin, copying.rules)));
        }
        if self.task != Task::Copies {
            Replicator { stage: Stage::RecordTarget, ..*self }.record(target, copying, out);
        }
    }

    /// The stages of a copy, in the order that the rules prescribe.
    fn stages(rules: Rules) -> Vec<Stage> {
        use Stage::{
            CopyPacks, ListTarget, LookAtMarks, LookAtOpen, LookAtTarget, LookForPromotion, PutOpen, PutPoint, Report,
        };
        let mut looks = if rules.keep(Rule::SourceMarksBeforeOpen) {
            vec![LookAtMarks, LookAtOpen]
        } else {
            vec![LookAtOpen, LookAtMarks]
        };
        if !rules.keep(Rule::LookAtSource) {
            looks.clear();
        }
        if rules.keep(Rule::LookForPromotion) {
            looks.push(LookForPromotion);
        }
        // Listed before the looks: it may be as old as a replicator likes, because what was seen is gone only if the look fails.
        let mut stages = vec![Stage::Begin, ListTarget];
        if rules.keep(Rule::PointAnnouncesCopy) {
            stages.push(PutPoint);
        }
        stages.extend(looks);
        if rules.keep(Rule::OpenCopiedLast) {
            stages.extend([CopyPacks, PutOpen]);
        } else {
            stages.extend([PutOpen, CopyPacks]);
        }
        if !rules.keep(Rule::PointAnnouncesCopy) {
            stages.insert(stages.len() - 1, PutPoint);
        }
        if rules.keep(Rule::LookAtTargetMarks) {
            stages.push(LookAtTarget);
        }
        stages.push(Report);
        stages
    }

    fn after(mut self, stage: Stage, rules: Rules) -> Replicator {
        let stages = Self::stages(rules);
        let next = stages.iter().position(|&each| each == stage).and_then(|at| stages.get(at + 1));
        let Some(&next) = next else { return self.ended() };
        self.stage = next;
        self.cursor = 0;
        if next == Stage::CopyPacks && self.missing.is_empty() {
            return self.after(Stage::CopyPacks, rules);
        }
        self
    }

    fn copy_point(&self, target: &Store, copying: &Copying<'_>, out: &mut Successors) {
        let point = self.point;
        let mut next = self.after(self.stage, copying.rules);
        next.zombie |= self.stage == Stage::PutOpen && target.ever_doomed.has(point);
        let mut store = *target;
        let mut put = |kind: Kind, operation: Operation| {
            store.put(kind, point);
            store.needs[point as usize] = copying.needs[point as usize];
            out.push((operation, store, next));
            if let Some(late) = store.with_late(kind, point) {
                out.push((operation, late, next));
            }
        };
        let (operation, over) = match self.stage {
            Stage::PutPoint => return put(Kind::Point, Operation::PutPoint { point }),
            Stage::PutOpen => return put(Kind::Open, Operation::PutOpen { point }),
            Stage::LookAtMarks => {
                let doomed = copying.source.doomed.has(point);
                (Operation::LookAtSourceMarks { point, doomed }, doomed)
            }
            Stage::LookAtOpen => {
                let there = copying.source.open.has(point);
                (Operation::LookAtSourceOpen { point, there }, !there)
            }
            Stage::LookForPromotion => (Operation::LookForPromotion { promoted: target.promoted }, target.promoted),
            Stage::LookAtTarget => {
                let doomed = target.doomed.has(point);
                (Operation::LookAtTargetMarks { point, doomed }, doomed)
            }
            _ => (Operation::Report { point, zombie: self.zombie }, false),
        };
        out.push((operation, *target, if over { self.ended() } else { next }));
    }

    fn copy_packs(&self, target: &Store, copying: &Copying<'_>, out: &mut Successors) {
        let needs = copying.needs[self.point as usize];
        if self.stage == Stage::ListTarget {
            let read = copying.keys(self.cursor);
            let mut next = *self;
            next.missing -= target.packs & read;
            next.cursor += 1;
            if copying.lists == Lists::AtOnce || next.cursor == copying.names() {
                next = next.after(Stage::ListTarget, copying.rules);
            }
            out.push((Operation::ListTargetPacks { seen: target.packs & read & needs }, *target, next));
            return;
        }
        let Some(pack) = self.missing.first() else { return };
        if !self.holds {
            let there = copying.source.packs.has(pack);
            let next = if there { Replicator { holds: true, ..*self } } else { self.ended() };
            out.push((Operation::GetPack { pack, there }, *target, next));
            return;
        }
        let mut next = Replicator { holds: false, missing: self.missing - Set::of(pack), ..*self };
        if next.missing.is_empty() {
            next = next.after(Stage::CopyPacks, copying.rules);
        }
        let mut store = *target;
        store.put(Kind::Pack, pack);
        out.push((Operation::PutPack { pack }, store, next));
        if let Some(late) = store.with_late(Kind::Pack, pack) {
            out.push((Operation::PutPack { pack }, late, next));
        }
    }

    /// What was seen at the target and then not at the source is gone; it was at the source before it was copied.
    fn record(&self, target: &Store, copying: &Copying<'_>, out: &mut Successors) {
        let mut next = *self;
        let stage = next.stage;
        if stage == Stage::PutGone {
            let mut store = *target;
            store.gone_packs |= self.packs;
            store.gone_points |= self.points;
            out.push((Operation::PutGone { packs: self.packs, points: self.points }, store, self.ended()));
            return;
        }
        let read = copying.keys(next.cursor);
        let in_order = copying.rules.keep(Rule::TargetListedBeforeSource);
        let operation = if (stage == Stage::RecordTarget) == in_order {
            let (packs, points) = (target.packs & read, target.point & read);
            if in_order {
                next.packs |= packs;
                next.points |= points;
            } else {
                next.packs = (next.packs & packs) | (next.packs - read);
                next.points = (next.points & points) | (next.points - read);
            }
            Operation::RecordTarget { packs, points }
        } else {
            let (packs, points) = (copying.source.packs & read, copying.source.point & read);
            if in_order {
                next.packs -= packs;
                next.points -= points;
            } else {
                next.packs |= read - packs;
                next.points |= read - points;
            }
            Operation::RecordSource { packs, points }
        };
        next.cursor += 1;
        if copying.lists == Lists::AtOnce || next.cursor == copying.names() {
            next.cursor = 0;
            next.stage = if stage == Stage::RecordTarget { Stage::RecordSource } else { Stage::PutGone };
        }
        out.push((operation, *target, next));
    }

    fn ended(&self) -> Replicator {
        Replicator::new(self.task, self.runs - 1)
    }
}
