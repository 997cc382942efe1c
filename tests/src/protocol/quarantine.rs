//! Quarantine: one pack that rots, is reported, repaired and lifted out of quarantine again.
//!
//! In: bounds and rules. Out: every state of pack, reports, verifiers and repairs. Never: garbage collection; a repair that races with a
//! collector is a pack that comes back, which [`super::repository`] has.

use std::fmt;

use stateright::{Model, Property};

use super::{
    rules::{Rule, Rules},
    set::Set,
};

/// The model: how often the pack may rot, and the rules.
#[derive(Clone, Copy, Debug)]
pub struct Quarantine {
    /// How often the pack may rot.
    pub rots: u8,
    /// The rules.
    pub rules: Rules,
}

/// Everything.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct World {
    rotten: bool,
    /// Which time it is that it rots.
    rot: u8,
    rots_left: u8,
    /// Reports, by the name that a verifier gave.
    reports: Set,
    /// Not in the store: the present damage was reported, and acknowledged.
    known: bool,
    verifiers: [Verifier; 2],
    repairs: [Repair; 2],
}

/// Reads the pack, then reports what it saw.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
enum Verifier {
    #[default]
    GetPack,
    PutReport {
        rot: u8,
    },
    Over,
}

/// Puts the identical bytes again, then deletes the reports that it had seen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Repair {
    at: u8,
    seen: Set,
}

/// One store operation and the world after it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Action {
    what: What,
    next: World,
}

/// Who did what.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(missing_docs, reason = "the variants are the operations of verifiers and repairs")]
pub enum What {
    Rots,
    VerifierGetsPack { verifier: u8, rotten: bool },
    PutReport { verifier: u8, name: u8 },
    ListReports { repair: u8, seen: Set },
    PutPackAgain { repair: u8 },
    DeleteReport { repair: u8, name: u8 },
}

impl Quarantine {
    fn verify(&self, world: &World, number: u8, out: &mut Vec<Action>) {
        let mut next = *world;
        let what = match world.verifiers[number as usize] {
            Verifier::GetPack => {
                let report = Verifier::PutReport { rot: world.rot };
                next.verifiers[number as usize] = if world.rotten { report } else { Verifier::GetPack };
                What::VerifierGetsPack { verifier: number, rotten: world.rotten }
            }
            Verifier::PutReport { rot } => {
                let name = if self.rules.keep(Rule::ReportNamesFresh) { number } else { 0 };
                next.reports |= Set::of(name);
                next.known |= world.rotten && world.rot == rot;
                next.verifiers[number as usize] = Verifier::Over;
                What::PutReport { verifier: number, name }
            }
            Verifier::Over => return,
        };
        out.push(Action { what, next });
    }

    fn repair(&self, world: &World, number: u8, out: &mut Vec<Action>) {
        let mut next = *world;
        let repair = &mut next.repairs[number as usize];
        let order = if self.rules.keep(Rule::ReportsListedBeforeRepair) { [0, 1] } else { [1, 0] };
        let what = match order.get(repair.at as usize) {
            Some(0) => {
                repair.seen = world.reports;
                repair.at += 1;
                What::ListReports { repair: number, seen: world.reports }
            }
            Some(_) => {
                repair.at += 1;
                next.rotten = false;
                next.known = false;
                What::PutPackAgain { repair: number }
            }
            None => {
                let Some(name) = repair.seen.first() else { return };
                repair.seen -= Set::of(name);
                next.reports -= Set::of(name);
                What::DeleteReport { repair: number, name }
            }
        };
        out.push(Action { what, next });
    }
}

impl Model for Quarantine {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World { rots_left: self.rots, ..World::default() }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if let Some(rots_left) = world.rots_left.checked_sub(1) {
            let next = World { rotten: true, known: false, rot: world.rot + 1, rots_left, ..*world };
            actions.push(Action { what: What::Rots, next });
        }
        for number in 0..2 {
            self.verify(world, number, actions);
            self.repair(world, number, actions);
        }
    }

    fn next_state(&self, _: &World, action: Action) -> Option<World> {
        Some(action.next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("Q: damage that was reported stays reported until it is repaired", |_, world: &World| {
            !world.known || !world.reports.is_empty()
        })]
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:62} rotten {} reports {:?}", format!("{:?}", self.what), self.next.rotten, self.next.reports)
    }
}
