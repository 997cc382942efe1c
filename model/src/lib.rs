//! The words of Holdfast as types: ids and the classes of errors.
//!
//! In: nothing. Out: types that every other crate shares, and decisions on them that need nothing else. Never: IO, clocks, randomness, or knowledge of how anything is stored.

mod error;
mod id;
pub mod retention;

pub use error::ErrorClass;
pub use id::{DomainId, KeyId, ParseIdError, RepositoryId, SessionId, VolumeId};
