//! Program: the order of a collector's run, C1 to C8.
//!
//! In: the rules, and whether the store is a target. Out: the steps. Never: an order of its own: each departure is a rule that was left out.

use crate::protocol::rules::{Rule, Rules};

/// What a run does, in this order; [`program`] says which order that is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// C0: the run is a session that pins all names.
    Announce,
    /// Only at a target: what is recorded gone, and whether it was promoted.
    ReadGone,
    /// C1: the points.
    ListPoints,
    /// C1: the marks.
    ListMarks,
    /// C2: `doomed` for what retention gives up.
    Doom,
    /// C2: the reference parts of what is neither dead nor doomed.
    Roots,
    /// C3: the packs.
    ListPacks,
    /// C4: the sessions.
    ListSessions,
    /// C5: what each session without point and mark is.
    JudgeSessions,
    /// C0: the own mark and announcement.
    LookAtOwn,
    /// C6: packs that nothing needs.
    DeletePacks,
    /// C7: `.open` of dead and doomed names.
    DeleteOpen,
    /// C7: `.point` of the same names.
    DeletePoint,
    /// C7: their marks.
    DeleteMarks,
    /// C7: the announcements of dead runs, and their marks.
    DeleteCollectors,
    /// C8: `abort`, look, `dead`.
    DeclareDead,
    /// C8: other runs that are announced.
    DeclareCollectorsDead,
    /// C0: the own announcement goes.
    Withdraw,
}

/// The order of a run: C1 to C8, but where a rule is left out.
pub fn program(rules: Rules, target: bool) -> Vec<Step> {
    use Step::{
        Announce, DeclareCollectorsDead, DeclareDead, DeleteCollectors, DeleteMarks, DeleteOpen, DeletePacks,
        DeletePoint, Doom, JudgeSessions, ListMarks, ListPacks, ListPoints, ListSessions, LookAtOwn, ReadGone, Roots,
        Withdraw,
    };
    let mut steps = vec![ListPoints, ListMarks, Doom, Roots, ListPacks, ListSessions, JudgeSessions, DeletePacks];
    let mut move_behind = |step: Step, other: Step| {
        steps.retain(|&each| each != step);
        let behind = steps.iter().position(|&each| each == other).map_or(steps.len(), |at| at + 1);
        steps.insert(behind, step);
    };
    if !rules.keep(Rule::SessionsAfterPacks) {
        move_behind(ListPacks, ListSessions);
    }
    if !rules.keep(Rule::RootsBeforeSessions) {
        move_behind(Roots, JudgeSessions);
    }
    if !rules.keep(Rule::DoomBeforeSessions) {
        move_behind(Doom, ListSessions);
        move_behind(Roots, Doom);
    }
    if !rules.keep(Rule::MarksListedFirst) {
        move_behind(ListPoints, ListSessions);
        move_behind(ListMarks, ListPoints);
        move_behind(Doom, ListMarks);
        move_behind(Roots, Doom);
    }
    if target {
        steps.insert(0, ReadGone);
        if !rules.keep(Rule::GoneReadFirst) {
            steps.insert(steps.len() - 1, ReadGone);
        }
    }
    steps.insert(0, Announce);
    let names = match (rules.keep(Rule::MarksGoLast), rules.keep(Rule::OpenGoesBeforePoint)) {
        (true, true) => [DeleteOpen, DeletePoint, DeleteMarks],
        (true, false) => [DeletePoint, DeleteOpen, DeleteMarks],
        (false, _) => [DeleteMarks, DeleteOpen, DeletePoint],
    };
    steps.extend(names);
    steps.push(DeleteCollectors);
    if rules.keep(Rule::DeadCountsNextRun) {
        steps.push(DeclareDead);
    } else {
        let judging = steps.iter().position(|&step| step == JudgeSessions).unwrap_or_default();
        steps.insert(judging, DeclareDead);
    }
    let deleting = steps.iter().position(|&step| step == DeletePacks).unwrap_or_default();
    steps.insert(deleting, LookAtOwn);
    steps.extend([DeclareCollectorsDead, Withdraw]);
    if !rules.keep(Rule::CollectorLooksAtOwn) {
        steps.retain(|&step| step != LookAtOwn);
    }
    if !rules.keep(Rule::CollectorAnnounces) {
        let announcing = [Announce, LookAtOwn, DeleteCollectors, DeclareCollectorsDead, Withdraw];
        steps.retain(|step| !announcing.contains(step));
    }
    steps
}
