//! Batch: pieces of many files that are fetched together.
//!
//! In: files, and where their content lies. Out: the same, pack by pack and blob by blob. Pure.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::tree::{Location, PackId};

use super::bounds::Running;
use super::file::FileJob;

/// Which bytes of a blob belong where in which file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// Index in the batch's list.
    pub(super) pack: u32,
    pub(super) blob: u32,
    pub(super) offset: u32,
    pub(super) length: u32,
    /// Index in the batch's list.
    pub(super) file: u32,
    pub(super) at: u64,
}

/// Pieces of many files, to be fetched together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) files: Vec<Arc<FileJob>>,
    pub(super) pieces: Vec<Piece>,
    pub(super) packs: Vec<PackId>,
    pack_numbers: HashMap<PackId, u32>,
    /// Files without any piece.
    pub(super) empty: Vec<Arc<FileJob>>,
    /// When the last part of the batch is done, whoever waits for it is told.
    pub(super) _running: Option<Running>,
}

/// What a file in a batch takes, apart from its pieces: the job, its metadata and its path.
const FILE_BYTES: usize = 640;

impl Batch {
    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        (self.files.len() + self.empty.len()) * FILE_BYTES + self.pieces.len() * size_of::<Piece>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.empty.is_empty()
    }

    /// Adds a file; returns its number for [`Batch::add_piece`].
    pub(super) fn add_file(&mut self, file: Arc<FileJob>) -> u32 {
        self.files.push(file);
        (self.files.len() - 1) as u32
    }

    /// Adds a file that needs nothing from packs.
    pub(super) fn add_empty(&mut self, file: Arc<FileJob>) {
        self.empty.push(file);
    }

    /// `length` bytes from a place on belong at byte `at` of a file.
    pub(super) fn add_piece(&mut self, file: u32, at: u64, from: Location, length: u32) {
        let Batch { packs, pack_numbers, .. } = self;
        let pack = *pack_numbers.entry(from.pack).or_insert_with(|| {
            packs.push(from.pack);
            (packs.len() - 1) as u32
        });
        if let Some(job) = self.files.get(file as usize) {
            job.expect_piece();
        }
        self.pieces.push(Piece { pack, blob: from.blob, offset: from.offset, length, file, at });
    }

    /// The pieces of one pack after the other, in each blob by blob.
    pub(super) fn sort(&mut self) {
        let Batch { pieces, packs, .. } = self;
        let pack = |piece: &Piece| packs.get(piece.pack as usize).copied();
        pieces.sort_unstable_by_key(|piece| (pack(piece), piece.blob, piece.offset, piece.file, piece.at));
    }

    /// Splits a range of pieces where `same` says that two neighbours do not belong together.
    pub(super) fn groups(&self, range: Range<usize>, same: impl Fn(&Piece, &Piece) -> bool) -> Vec<Range<usize>> {
        let mut groups: Vec<Range<usize>> = Vec::new();
        for index in range {
            match groups.last_mut() {
                Some(last) if same(&self.pieces[last.start], &self.pieces[index]) => last.end = index + 1,
                _ => groups.push(index..index + 1),
            }
        }
        groups
    }
}
