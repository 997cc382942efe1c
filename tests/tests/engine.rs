//! The engine: whatever is backed up comes back, whatever happens on the way, and it costs what changed.
//!
//! In: trees from seeds, stores with faults. Out: nothing, or the seed and what differs. Never: the real clock, so that one line replays a failure:
//! `HOLDFAST_SEED=7 HOLDFAST_SEEDS=1` runs seed 7 alone, `HOLDFAST_SEEDS=1000` a campaign.

#[path = "engine/adopt.rs"]
mod adopt;
#[path = "engine/again.rs"]
mod again;
#[path = "engine/attacker.rs"]
mod attacker;
#[path = "engine/collect.rs"]
mod collect;
#[path = "engine/cost.rs"]
mod cost;
#[path = "engine/crash.rs"]
mod crash;
#[path = "engine/damage.rs"]
mod damage;
#[path = "engine/identity.rs"]
mod identity;
#[path = "engine/keys.rs"]
mod keys;
#[path = "engine/links.rs"]
mod links;
#[path = "engine/memory.rs"]
mod memory;
#[path = "engine/protocol.rs"]
mod protocol;
#[path = "engine/refusals.rs"]
mod refusals;
#[path = "engine/replicate.rs"]
mod replicate;
#[path = "engine/restore.rs"]
mod restore;
#[path = "engine/space.rs"]
mod space;
#[path = "engine/unreadable.rs"]
mod unreadable;
#[path = "engine/world.rs"]
mod world;
