//! Protocol: "announce, then look" as a model that stateright explores exhaustively.
//!
//! In: bounds, and the rules that are followed. Out: every reachable state was looked at, or the shortest way to one that breaks a claim.
//! Never: the code of the product; `docs/protocol.md` says which of its functions takes which step, under the same names.
//!
//! One transition is one store operation of one actor. A crash or a pause is an actor that is not scheduled again, so every state in which
//! somebody stopped is explored. There are no clocks: grace periods are "any time", liveness is "anybody may be declared dead".

pub mod check;
pub mod collector;
pub mod configurations;
pub mod quarantine;
pub mod replica;
pub mod replicator;
pub mod repository;
pub mod rotation;
pub mod rules;
pub mod set;
pub mod store;
pub mod writer;
