//! Source: a repository as its replicators see it, reduced to what it claims.
//!
//! In: the source and how far it may go. Out: every way in which it can go on. Never: in detail; commits and dooms are one operation each, what
//! goes, goes in the order `.open`, `.point`, marks, and packs only when no valid point needs them.

use super::{Action, Replica, What, World};
use crate::protocol::set::Set;

/// The source, as far as a replicator sees it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Source {
    /// `.open`s.
    pub open: Set,
    /// `.point`s.
    pub point: Set,
    /// `doomed` marks.
    pub doomed: Set,
    /// Packs.
    pub packs: Set,
    pub(super) committed: u8,
    pub(super) dooms: u8,
    pub(super) lates: u8,
    pub(super) late: Set,
}

impl Replica {
    /// What the source's writers, retention and collector do, in the order that the protocol prescribes.
    pub(super) fn source_steps(&self, world: &World, out: &mut Vec<Action>) {
        let source = world.source;
        let mut go = |what: What, source: Source| out.push(Action { what, next: World { source, ..*world } });
        let next = source.committed;
        if let Some(&needs) = self.bounds.needs.get(next as usize) {
            // What a new point shares with older ones is pinned, so it is there.
            let shared = needs & self.needs(Set::below(next));
            if shared.within(source.packs) {
                let mut after = Source { packs: source.packs | needs, committed: next + 1, ..source };
                after.open |= Set::of(next);
                after.point |= Set::of(next);
                go(What::SourceCommits { point: next }, after);
                if source.lates > 0 {
                    after.lates -= 1;
                    after.late |= Set::of(next);
                    go(What::SourceCommits { point: next }, after);
                }
            }
        }
        if source.dooms > 0 {
            for point in self.valid_at_source(&source).iter() {
                let doomed = source.doomed | Set::of(point);
                go(What::SourceDooms { point }, Source { doomed, dooms: source.dooms - 1, ..source });
            }
        }
        for (what, after) in self.source_sweeps(&source) {
            go(what, after);
        }
        for point in source.late.iter() {
            let late = source.late - Set::of(point);
            go(What::LateAtSource { point }, Source { late, point: source.point | Set::of(point), ..source });
        }
    }

    pub(super) fn source_sweeps(&self, source: &Source) -> Vec<(What, Source)> {
        let live = self.needs(self.valid_at_source(source));
        let mut sweeps = Vec::new();
        for pack in (source.packs - live).iter() {
            let packs = source.packs - Set::of(pack);
            sweeps.push((What::SourceDeletesPack { pack }, Source { packs, ..*source }));
        }
        for point in source.doomed.iter() {
            let one = Set::of(point);
            sweeps.push(if source.open.has(point) {
                (What::SourceDeletesOpen { point }, Source { open: source.open - one, ..*source })
            } else if source.point.has(point) {
                (What::SourceDeletesPoint { point }, Source { point: source.point - one, ..*source })
            } else {
                (What::SourceDeletesMarks { point }, Source { doomed: source.doomed - one, ..*source })
            });
        }
        sweeps
    }
}
