//! Delta: a file that stands in the target already, compared page by page.
//!
//! In: an existing file and the page signatures of the restore point. Out: which pages differ and where they are to be had. Never: fetches a page that is right.

use crate::Error;
use crate::hash::{BLOCK_BYTES, BLOCK_PAGES, HashingKey, PAGE_BYTES, PageSum};
use crate::read::cursor::NodeCursor;
use crate::read::view::View;
use crate::target::{TargetError, TargetFile};
use crate::tree::{Class, Extent, Location, Value, key};

/// Pages of one block.
pub(super) type PageFlags = [bool; BLOCK_PAGES];

/// The page signatures of files, one file after another.
pub(super) struct SignRows {
    rows: NodeCursor,
    next: Option<(u64, Box<[u64; BLOCK_PAGES]>)>,
}

impl SignRows {
    pub(super) fn new(view: &View) -> SignRows {
        SignRows { rows: view.cursor(Class::Sign), next: None }
    }

    /// Goes to a file.
    pub(super) fn go(&mut self, node: u64) -> Result<(), Error> {
        self.rows.go(node)?;
        self.read()
    }

    fn read(&mut self) -> Result<(), Error> {
        self.next = None;
        while let Some(row) = self.rows.next()? {
            let (Some(block), Value::Sign(signs)) = (key::block_of(Class::Sign, &row.key), row.value) else { continue };
            let mut all = Box::new([0; BLOCK_PAGES]);
            for (page, signature) in signs.pages() {
                if let Some(slot) = all.get_mut(usize::from(page)) {
                    *slot = signature;
                }
            }
            self.next = Some((block, all));
            return Ok(());
        }
        Ok(())
    }

    /// The next block that has any.
    pub(super) fn peek(&self) -> Option<u64> {
        self.next.as_ref().map(|(block, _)| *block)
    }

    /// The signatures of a block; blocks are asked for in ascending order. What no row names is zeros.
    pub(super) fn of(&mut self, block: u64) -> Result<Box<[u64; BLOCK_PAGES]>, Error> {
        while self.next.as_ref().is_some_and(|(at, _)| *at < block) {
            self.read()?;
        }
        match self.next.take_if(|(at, _)| *at == block) {
            Some((_, signatures)) => {
                self.read()?;
                Ok(signatures)
            }
            None => Ok(Box::new([0; BLOCK_PAGES])),
        }
    }
}

/// What comparing a block found.
pub(super) struct Compared {
    pub(super) differs: Box<PageFlags>,
    /// The pages that are right.
    pub(super) equal: PageSum,
    pub(super) bytes_equal: u64,
}

impl Compared {
    pub(super) fn any_differs(&self) -> bool {
        self.differs.iter().any(|differs| *differs)
    }
}

/// Compares the first `length` bytes of a block with its signatures; what the file does not have counts as different.
pub(super) fn compare(
    hashing: &HashingKey,
    file: &dyn TargetFile,
    at: (u64, usize),
    signatures: &[u64; BLOCK_PAGES],
    buffer: &mut [u8],
) -> Result<Compared, TargetError> {
    let (block, length) = at;
    let start = block * BLOCK_BYTES as u64;
    let buffer = &mut buffer[..length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(start + filled as u64, &mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    let mut compared = Compared { differs: Box::new([false; BLOCK_PAGES]), equal: PageSum::default(), bytes_equal: 0 };
    for (page, content) in buffer.chunks(PAGE_BYTES).enumerate() {
        let there = page * PAGE_BYTES + content.len() <= filled;
        let signature = signatures[page];
        if there && hashing.signature(content) == signature {
            compared.equal.add(hashing, block * BLOCK_PAGES as u64 + page as u64, signature);
            compared.bytes_equal += content.len() as u64;
        } else {
            compared.differs[page] = true;
        }
    }
    Ok(compared)
}

/// What has to happen to pages that differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patch {
    /// `length` bytes from a place in a blob, to page `first_page` on.
    Fetch { first_page: usize, from: Location, length: u32 },
    /// So many pages become zeros.
    Zero { first_page: usize, pages: usize },
}

/// Where the pages that differ come from.
pub(super) fn patches(extents: &[Extent], differs: &PageFlags) -> Vec<Patch> {
    let mut patches = Vec::new();
    let mut unnamed = *differs;
    for extent in extents {
        let Some(location) = extent.source else { continue };
        let pages = usize::from(extent.first_page)..usize::from(extent.end_page()).min(BLOCK_PAGES);
        for run in runs(&unnamed, pages) {
            let skipped = ((run.start - usize::from(extent.first_page)) * PAGE_BYTES) as u32;
            let length = ((run.len() * PAGE_BYTES) as u32).min(extent.length - skipped);
            let from = Location { offset: location.offset.saturating_add(skipped), ..location };
            patches.push(Patch::Fetch { first_page: run.start, from, length });
            unnamed[run].fill(false);
        }
    }
    for run in runs(&unnamed, 0..BLOCK_PAGES) {
        patches.push(Patch::Zero { first_page: run.start, pages: run.len() });
    }
    patches
}

/// Runs of flagged pages.
fn runs(flags: &PageFlags, within: std::ops::Range<usize>) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for page in within.filter(|page| flags[*page]) {
        match runs.last_mut() {
            Some(last) if last.end == page => last.end += 1,
            _ => runs.push(page..page + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use model::SessionId;

    use super::*;
    use crate::tree::PackId;

    fn location(offset: u32) -> Location {
        Location { pack: PackId { session: SessionId([1; 16]), seq: 0 }, blob: 3, offset }
    }

    fn flags(pages: &[usize]) -> PageFlags {
        let mut flags = [false; BLOCK_PAGES];
        pages.iter().for_each(|page| flags[*page] = true);
        flags
    }

    #[test]
    fn only_pages_that_differ_are_fetched_and_what_no_extent_names_becomes_zeros() {
        let extents = [
            Extent { first_page: 2, length: 4 * 4096, source: Some(location(100)) },
            Extent { first_page: 6, length: 4096, source: None },
            Extent { first_page: 10, length: 5000, source: Some(location(0)) },
        ];
        let found = patches(&extents, &flags(&[0, 3, 4, 6, 7, 11]));
        assert_eq!(
            found,
            [
                Patch::Fetch { first_page: 3, from: location(100 + 4096), length: 8192 },
                Patch::Fetch { first_page: 11, from: location(4096), length: 904 },
                Patch::Zero { first_page: 0, pages: 1 },
                Patch::Zero { first_page: 6, pages: 2 },
            ]
        );
        assert!(patches(&extents, &flags(&[])).is_empty());
    }
}
