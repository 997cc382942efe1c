//! Rotation: several keys of a domain, new epochs, and the end of an old one.
//!
//! In: the rules. Out: every state of keys, sessions, points, two rotations at once and a run that destroys what nobody uses. Never: how pins
//! are held; [`super::repository`] shows that, so here a pinned point stays.

use std::fmt;

use stateright::{Model, Property};

use super::{
    rules::{Rule, Rules},
    set::Set,
};

const SESSIONS: usize = 3;
const KEYS: usize = 3;

/// The model.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// Whether the second session may pin the first one's point.
    pub pins: bool,
    /// The rules.
    pub rules: Rules,
}

/// Everything. Key 0 and point 0 are there from the start.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct World {
    keys: Set,
    epoch: [u8; KEYS],
    open: Set,
    point: Set,
    dead: Set,
    /// The key that a session's `.open` names, and what it pins.
    session_key: [u8; SESSIONS],
    pins: [Set; SESSIONS],
    /// The keys with which what a point needs is sealed.
    point_keys: [Set; SESSIONS],
    writers: [Stage; 2],
    rotations: [Option<u8>; 2],
    rotated: Set,
    destroyer: Destroyer,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
enum Stage {
    #[default]
    ListKeys,
    PutOpen,
    LookAtKeys,
    PutPoint,
    Over,
}

/// What the run that destroys has seen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Destroyer {
    at: u8,
    old: Set,
    points: Set,
    sessions: Set,
    used: Set,
}

/// One store operation and the world after it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Action {
    what: What,
    next: World,
}

/// Who did what.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(
    missing_docs,
    reason = "the variants are the operations of sessions, rotations, upkeep and the run that destroys keys"
)]
pub enum What {
    ListKeys { session: u8, key: u8 },
    PutOpen { session: u8, pins: Set },
    LookAtKeys { session: u8, kept: bool },
    PutPoint { session: u8, keys: Set },
    DeclareDead { session: u8 },
    RemovePoint { point: u8 },
    RotationListsKeys { rotation: u8, epoch: u8 },
    RotationPutsKey { key: u8, epoch: u8 },
    DestroyerListsKeys { old: Set },
    DestroyerListsPoints { used: Set },
    DestroyerListsSessions { used: Set },
    DestroyerLooksForOwnPoints { committed: Set },
    DestroyerLooksForOpenAgain { gone: Set },
    DestroyKey { key: u8 },
}

impl World {
    fn newest(&self) -> u8 {
        self.keys.iter().map(|key| self.epoch[key as usize]).max().unwrap_or_default()
    }

    fn running(&self) -> Set {
        self.open - self.point - self.dead
    }

    fn keys_of(&self, points: Set) -> Set {
        points.iter().fold(Set::EMPTY, |keys, point| keys | self.point_keys[point as usize])
    }
}

impl Rotation {
    fn write(&self, world: &World, writer: usize, out: &mut Vec<Action>) {
        let session = writer as u8 + 1;
        let at = session as usize;
        let mut next = *world;
        let stage = &mut next.writers[writer];
        let what = match *stage {
            Stage::ListKeys => {
                // The highest epoch, and of several keys in it the lowest id.
                let Some(key) = world.keys.iter().find(|&key| world.epoch[key as usize] == world.newest()) else {
                    return;
                };
                *stage = Stage::PutOpen;
                next.session_key[at] = key;
                What::ListKeys { session, key }
            }
            Stage::PutOpen => {
                *stage = if self.rules.keep(Rule::LookAtKeys) { Stage::LookAtKeys } else { Stage::PutPoint };
                next.open |= Set::of(session);
                next.pins[at] = if self.pins { (world.point & world.open) - world.dead } else { Set::EMPTY };
                What::PutOpen { session, pins: next.pins[at] }
            }
            Stage::LookAtKeys => {
                let key = world.session_key[at];
                let kept = world.keys.has(key) && world.epoch[key as usize] == world.newest();
                *stage = if kept { Stage::PutPoint } else { Stage::Over };
                What::LookAtKeys { session, kept }
            }
            Stage::PutPoint => {
                *stage = Stage::Over;
                let keys = world.keys_of(world.pins[at]) | Set::of(world.session_key[at]);
                next.point |= Set::of(session);
                next.point_keys[at] = keys;
                What::PutPoint { session, keys }
            }
            Stage::Over => return,
        };
        out.push(Action { what, next });
    }

    /// What collectors do, in one operation each: how they do it safely is another model.
    fn upkeep(&self, world: &World, out: &mut Vec<Action>) {
        for session in world.running().iter() {
            let mut next = *world;
            next.dead |= Set::of(session);
            out.push(Action { what: What::DeclareDead { session }, next });
        }
        let pinned = world.running().iter().fold(Set::EMPTY, |pinned, session| pinned | world.pins[session as usize]);
        for point in (world.point - pinned).iter() {
            let mut next = *world;
            next.open -= Set::of(point);
            next.point -= Set::of(point);
            out.push(Action { what: What::RemovePoint { point }, next });
        }
    }

    fn rotate(&self, world: &World, rotation: u8, out: &mut Vec<Action>) {
        let mut next = *world;
        let key = rotation + 1;
        let what = match world.rotations[rotation as usize] {
            _ if world.rotated.has(rotation) => return,
            None => {
                let epoch = world.newest() + 1;
                next.rotations[rotation as usize] = Some(epoch);
                What::RotationListsKeys { rotation, epoch }
            }
            Some(epoch) => {
                next.rotated |= Set::of(rotation);
                next.keys |= Set::of(key);
                next.epoch[key as usize] = epoch;
                What::RotationPutsKey { key, epoch }
            }
        };
        out.push(Action { what, next });
    }

    /// Keys, points, sessions, the sessions' own points, their `.open`s again: C1 to C5 with keys for packs. What a session pins is a
    /// `.point` that is there, so it is counted already.
    fn destroy(&self, world: &World, out: &mut Vec<Action>) {
        let mut next = *world;
        let seen = &mut next.destroyer;
        let order = if self.rules.keep(Rule::KeysListedFirst) { [0, 1, 2, 3, 4] } else { [1, 2, 3, 4, 0] };
        let what = match order.get(seen.at as usize) {
            Some(0) => {
                seen.old = world.keys - self.never_destroyed(world);
                What::DestroyerListsKeys { old: seen.old }
            }
            Some(1) => {
                seen.points = world.point;
                if self.rules.keep(Rule::PointKeysCount) {
                    seen.used |= world.keys_of(world.point);
                }
                What::DestroyerListsPoints { used: seen.used }
            }
            Some(2) => {
                seen.sessions = world.open - seen.points - world.dead;
                if self.rules.keep(Rule::SessionKeysCount) {
                    seen.used |= seen.sessions.iter().map(|session| world.session_key[session as usize]).collect();
                }
                What::DestroyerListsSessions { used: seen.used }
            }
            Some(3) => {
                let committed = seen.sessions & world.point;
                seen.used |= world.keys_of(committed);
                seen.sessions -= committed;
                What::DestroyerLooksForOwnPoints { committed }
            }
            Some(_) => {
                let gone = seen.sessions - world.open;
                if !gone.is_empty() {
                    *seen = Destroyer { at: u8::MAX, ..Destroyer::default() };
                    out.push(Action { what: What::DestroyerLooksForOpenAgain { gone }, next });
                    return;
                }
                What::DestroyerLooksForOpenAgain { gone }
            }
            None => {
                let Some(key) = (seen.old - seen.used).first() else { return };
                seen.old -= Set::of(key);
                next.keys -= Set::of(key);
                out.push(Action { what: What::DestroyKey { key }, next });
                return;
            }
        };
        seen.at += 1;
        out.push(Action { what, next });
    }

    /// By the rule, all keys of the newest epoch; without it, only the one that a writer would take now.
    fn never_destroyed(&self, world: &World) -> Set {
        let newest = world.keys.iter().filter(|&key| world.epoch[key as usize] == world.newest());
        let kept = if self.rules.keep(Rule::OnlyOlderEpochsGo) { KEYS } else { 1 };
        newest.take(kept).collect()
    }
}

impl Model for Rotation {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let first = Set::of(0);
        let mut world = World { keys: first, open: first, point: first, ..World::default() };
        world.point_keys[0] = first;
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for number in 0..2 {
            self.write(world, number as usize, actions);
            self.rotate(world, number, actions);
        }
        self.upkeep(world, actions);
        self.destroy(world, actions);
    }

    fn next_state(&self, _: &World, action: Action) -> Option<World> {
        Some(action.next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("F: the keys of a valid point are there", |_, world: &World| {
                world.keys_of((world.point & world.open) - world.dead).within(world.keys)
            }),
            Property::always("G: the keys of a running session and of its pins are there", |_, world: &World| {
                world.running().iter().all(|session| {
                    let looked = session > 0 && world.writers[session as usize - 1] == Stage::PutPoint;
                    let keys =
                        world.keys_of(world.pins[session as usize]) | Set::of(world.session_key[session as usize]);
                    !looked || keys.within(world.keys)
                })
            }),
            Property::always("H: a writer always finds a key", |_, world: &World| !world.keys.is_empty()),
        ]
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let World { keys, open, point, dead, .. } = self.next;
        write!(f, "{:62} keys {keys:?} open {open:?} point {point:?} dead {dead:?}", format!("{:?}", self.what))
    }
}
