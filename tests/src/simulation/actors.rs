//! Actors: who takes part in a simulation.

pub(crate) mod collector;
pub(crate) mod forgetter;
pub(crate) mod promoter;
pub(crate) mod reader;
pub(crate) mod replicator;
pub(crate) mod rotator;
pub(crate) mod stranger;
pub(crate) mod verifier;
pub(crate) mod volume;
pub(crate) mod writer;
