//! Whole: one pack of a store, read and judged.
//!
//! In: a store - this repository's or another copy's - and what metadata remembers of a pack. Out: its bytes and what they are worth. Never: takes a store that does
//! not answer for a pack that is damaged.

use bytes::Bytes;
use model::ErrorClass;

use crate::Error;
use crate::domain::Domain;
use crate::pack::{PACK_BYTES_MAX, PackSummary};
use crate::read::{PackVerdict, verify_pack};
use crate::store::Store;
use crate::tree::PackId;

/// Reads a pack from a store under its name in the domain; no bytes if there are none to be had.
pub(super) fn read_whole(
    store: &Store,
    domain: &Domain,
    pack: PackId,
    known: &PackSummary,
) -> Result<(PackVerdict, Bytes), Error> {
    let bytes_max = if known.is_known() { known.pack_bytes } else { PACK_BYTES_MAX };
    match store.get_at_most(&domain.pack_name(pack), bytes_max) {
        Ok(whole) => Ok((verify_pack(domain, pack, &whole, known)?, whole)),
        Err(error) if error.is_not_found() => Ok((PackVerdict::unusable("it is missing"), Bytes::new())),
        Err(error) if error.class() == ErrorClass::Corrupt => {
            Ok((PackVerdict::unusable(error.to_string()), Bytes::new()))
        }
        Err(error) => Err(error.into()),
    }
}
