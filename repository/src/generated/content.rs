//! The content of a regular file in memory, page by page.
//!
//! In: writes, sizes and holes. Out: bytes. Never: more memory than the pages that were written: a page made from an id is expanded when it is read.

use std::collections::BTreeMap;
use std::ops::Range;

use super::dice::Dice;
use crate::hash::PAGE_BYTES;

const PAGE: u64 = PAGE_BYTES as u64;

/// One page that is not a hole.
#[derive(Clone, Debug)]
enum Page {
    /// Expanded by [`page_bytes`].
    Made(u64),
    /// As it was written, zero-padded.
    Written(Box<[u8; PAGE_BYTES]>),
}

/// The page that an id stands for. Id 0 is a page of zeros that is allocated; the others are random bytes, half random, or text, by their remainder of 3.
pub fn page_bytes(id: u64) -> [u8; PAGE_BYTES] {
    let mut page = [0; PAGE_BYTES];
    let mut dice = Dice::new(id);
    match (id, id % 3) {
        (0, _) => {}
        (_, 0) => dice.fill(&mut page),
        (_, 1) => dice.fill(&mut page[..PAGE_BYTES / 2]),
        _ => {
            for line in page.chunks_mut(64) {
                let text = format!("row {:016x} of page {id:016x} {:04}\n", dice.number() & 0xffff, dice.below(10));
                line.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
            }
        }
    }
    page
}

impl Page {
    fn bytes(&self) -> [u8; PAGE_BYTES] {
        match self {
            Page::Made(id) => page_bytes(*id),
            Page::Written(bytes) => **bytes,
        }
    }
}

/// What is in a file.
#[derive(Clone, Debug, Default)]
pub struct FileContent {
    size: u64,
    /// Bytes beyond the size are of no meaning; they become zeros when the file grows.
    pages: BTreeMap<u64, Page>,
}

impl FileContent {
    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Pages that take space.
    pub fn allocated_pages(&self) -> u64 {
        self.pages.len() as u64
    }

    /// Cuts the file, or lengthens it by a hole.
    pub fn set_size(&mut self, size: u64) {
        if size > self.size {
            self.clear_tail();
        }
        self.size = size;
        self.pages.split_off(&size.div_ceil(PAGE));
    }

    /// What lies behind the end in the last page must not come back.
    fn clear_tail(&mut self) {
        let within = (self.size % PAGE) as usize;
        if let (1.., Some(page)) = (within, self.pages.get_mut(&(self.size / PAGE))) {
            let mut bytes = page.bytes();
            bytes[within..].fill(0);
            *page = Page::Written(Box::new(bytes));
        }
    }

    fn reach(&mut self, end: u64) {
        if end > self.size {
            self.set_size(end);
        }
    }

    /// Makes one page what [`page_bytes`] says of an id. The file grows to its end if it was shorter.
    pub fn make_page(&mut self, page: u64, id: u64) {
        self.reach((page + 1) * PAGE);
        self.pages.insert(page, Page::Made(id));
    }

    /// Writes bytes; the file grows if they reach beyond its end.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.reach(offset + bytes.len() as u64);
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let within = (at % PAGE) as usize;
            let length = (PAGE_BYTES - within).min(bytes.len() - done);
            let mut page = self.pages.get(&(at / PAGE)).map_or([0; PAGE_BYTES], Page::bytes);
            page[within..within + length].copy_from_slice(&bytes[done..done + length]);
            self.pages.insert(at / PAGE, Page::Written(Box::new(page)));
            done += length;
        }
    }

    /// Makes a range zeros: whole pages become holes. The size stays.
    pub fn punch(&mut self, offset: u64, length: u64) {
        let end = offset.saturating_add(length).min(self.size);
        if offset >= end {
            return;
        }
        let touched: Vec<u64> = self.pages.range(offset / PAGE..end.div_ceil(PAGE)).map(|(page, _)| *page).collect();
        for page in touched {
            let start = (page * PAGE).max(offset);
            let stop = ((page + 1) * PAGE).min(end);
            if stop - start == PAGE || (start == page * PAGE && stop == self.size) {
                self.pages.remove(&page);
            } else if let Some(partial) = self.pages.get_mut(&page) {
                let mut bytes = partial.bytes();
                bytes[(start - page * PAGE) as usize..(stop - page * PAGE) as usize].fill(0);
                *partial = Page::Written(Box::new(bytes));
            }
        }
    }

    /// Fills `buffer` from `offset`; returns how much there was.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let length = self.size.saturating_sub(offset).min(buffer.len() as u64) as usize;
        let buffer = &mut buffer[..length];
        buffer.fill(0);
        let end = offset + length as u64;
        for (page, content) in self.pages.range(offset / PAGE..end.div_ceil(PAGE)) {
            let start = (page * PAGE).max(offset);
            let stop = ((page + 1) * PAGE).min(end);
            if start < stop {
                let from = &content.bytes()[(start - page * PAGE) as usize..(stop - page * PAGE) as usize];
                buffer[(start - offset) as usize..(stop - offset) as usize].copy_from_slice(from);
            }
        }
        length
    }

    /// The next range at or after `offset` that is not a hole.
    pub fn next_data(&self, offset: u64) -> Option<Range<u64>> {
        let mut pages = self.pages.range(offset / PAGE..).map(|(page, _)| *page);
        let first = pages.next()?;
        let mut end = first + 1;
        // So far and no further: a dense file of a million pages is not walked for every block.
        while pages.next() == Some(end) && end - first < 1024 {
            end += 1;
        }
        let range = (first * PAGE).max(offset)..(end * PAGE).min(self.size);
        (range.start < range.end).then_some(range)
    }

    /// The first byte at which two files differ. Holes and zeros are the same.
    pub fn first_difference(&self, other: &FileContent) -> Option<u64> {
        if self.size != other.size {
            return Some(self.size.min(other.size));
        }
        let mut pages: Vec<u64> = self.pages.keys().chain(other.pages.keys()).copied().collect();
        pages.sort_unstable();
        pages.dedup();
        let bytes_of = |content: &FileContent, page| content.pages.get(&page).map_or([0; PAGE_BYTES], Page::bytes);
        pages.into_iter().find_map(|page| {
            let same_id = matches!((self.pages.get(&page), other.pages.get(&page)), (Some(Page::Made(a)), Some(Page::Made(b))) if a == b);
            if same_id {
                return None;
            }
            let length = self.size.saturating_sub(page * PAGE).min(PAGE) as usize;
            let (ours, theirs) = (bytes_of(self, page), bytes_of(other, page));
            let at = ours[..length].iter().zip(&theirs[..length]).position(|(a, b)| a != b)?;
            Some(page * PAGE + at as u64)
        })
    }
}
