//! Shares: how the memory budget is shared out.
//!
//! In: the budget. Out: what each stage may hold. Never: hands out more than there is.

use crate::Error;

use super::{LANES, MEMORY_BUDGET_BYTES_MIN, MIB, PACK_BYTES_TARGET};

/// How the memory budget is shared out.
pub(super) struct Shares {
    pub(super) pack_bytes_target: usize,
    pub(super) buffers: usize,
    pub(super) row_bytes_max: usize,
    pub(super) dedup_bytes_max: usize,
    pub(super) window_bytes: u64,
    pub(super) ahead_bytes_max: u64,
    pub(super) vanished_bytes_max: usize,
    pub(super) moved_nodes_max: usize,
}

impl Shares {
    /// Three quarters for packs: one being filled, one per lane. The rest for blocks on their way, rows, hints and what is read of the parent.
    pub(super) fn of(budget_bytes: usize) -> Result<Shares, Error> {
        if budget_bytes < MEMORY_BUDGET_BYTES_MIN {
            let (given, least) = (budget_bytes / MIB, MEMORY_BUDGET_BYTES_MIN / MIB);
            return Err(Error::Invalid(format!(
                "a memory budget of {given} MiB is too small; give at least {least} MiB"
            )));
        }
        Ok(Shares {
            pack_bytes_target: (budget_bytes / (LANES + 2) - MIB).min(PACK_BYTES_TARGET - MIB),
            buffers: (budget_bytes / 16 / MIB).clamp(2, 64),
            row_bytes_max: budget_bytes / 16,
            dedup_bytes_max: budget_bytes / 32,
            window_bytes: (budget_bytes / 16) as u64,
            ahead_bytes_max: (budget_bytes / 64) as u64,
            vanished_bytes_max: budget_bytes / 8,
            moved_nodes_max: budget_bytes / 64 / size_of::<u64>(),
        })
    }
}
