//! Rows: what stands under the keys (docs/format.md, sections 5.2 and 7.3).
//!
//! In: nothing. Out: the types of values, and the places in packs that a value names. Never: encoding (that is [`super::value`]), or what a value means beside
//! others (that is [`super::overlay`] and [`super::merge`]).

use model::SessionId;

use crate::hash::PAGE_BYTES;
pub use crate::source::{FileType, Time};

/// A pack: the `seq`-th of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackId {
    /// Who wrote it.
    pub session: SessionId,
    /// Its number in that session.
    pub seq: u32,
}

/// A place in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// Which pack.
    pub pack: PackId,
    /// Number of the blob in it.
    pub blob: u32,
    /// First byte in the blob's plaintext.
    pub offset: u32,
}

/// Where consecutive pages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// First page, counted from the beginning of the block (or small file, or attribute value).
    pub first_page: u16,
    /// Bytes, 1..=1 MiB. What its last page has beyond them is zeros.
    pub length: u32,
    /// Where the bytes are; `None`: they are zeros.
    pub source: Option<Location>,
}

impl Extent {
    /// How many pages it covers.
    pub fn pages(&self) -> u16 {
        self.length.div_ceil(PAGE_BYTES as u32).try_into().unwrap_or(u16::MAX)
    }

    /// The page after its last one.
    pub fn end_page(&self) -> u16 {
        self.first_page.saturating_add(self.pages())
    }
}

/// What a Head says about older rows of its node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// None of them counts any more.
    pub gone: bool,
    /// No page from this one on counts any more (classes content and sign only).
    pub cut: Option<u64>,
}

/// What tells whether a file is still what was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// At most 64 bytes; empty where the filesystem has nothing stable.
    pub handle: Vec<u8>,
    /// Inode number.
    pub inode: u64,
    /// Last change of anything.
    pub ctime: Time,
    /// Creation.
    pub btime: Time,
    /// Allocated blocks of 512 bytes.
    pub blocks: u64,
}

/// The content of a small file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inline {
    /// Whole-content signature; 0: zeros only, or empty.
    pub signature: u64,
    /// Where its pages are.
    pub extents: Vec<Extent>,
}

/// A large or small value of an extended attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// Here.
    Inline(Vec<u8>),
    /// In blobs.
    Stored {
        /// Its length in bytes, at most 1 MiB.
        length: u32,
        /// Where its pages are.
        extents: Vec<Extent>,
    },
}

/// An extended attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name with the namespace, 1 to 255 bytes.
    pub name: Vec<u8>,
    /// Its value.
    pub value: AttributeValue,
}

/// Everything about a file but its names, and its content if that is small.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inode {
    /// Permission bits, 0..=0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Number of names.
    pub links: u64,
    /// Last change of content.
    pub mtime: Time,
    /// What the next backup compares; `None`: read it again.
    pub stamp: Option<Stamp>,
    /// An equal stamp next time means equal content.
    pub settled: bool,
    /// Content was changing while it was read.
    pub mixed: bool,
    /// Content of a small file; wins over Block rows.
    pub inline: Option<Inline>,
    /// Major and minor number of a device node.
    pub device: Option<(u32, u32)>,
    /// Target of a symbolic link, 1 to 4,095 bytes.
    pub link_target: Option<Vec<u8>>,
    /// Extended attributes, sorted by name.
    pub attributes: Vec<Attribute>,
}

/// What a name in a directory stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its node.
    pub child: u64,
    /// What it is.
    pub file_type: FileType,
    /// Its inode; `None`: there is a row of its own for it (files with several links).
    pub inode: Option<Inode>,
}

/// How something was not captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MissedWhat {
    /// The restore point does not have it at all.
    Absent,
    /// The restore point has what an earlier one captured.
    OlderContent,
    /// The restore point has content that was changing while it was read.
    Mixed,
}

/// What was not captured, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// How.
    pub what: MissedWhat,
    /// Why, for people; at most [`super::value::WHY_BYTES_MAX`] bytes ([`Missed::new`] shortens).
    pub why: String,
}

impl Missed {
    /// With the reason shortened to what a row can hold.
    pub fn new(what: MissedWhat, why: &str) -> Missed {
        Missed { what, why: why[..why.floor_char_boundary(super::value::WHY_BYTES_MAX)].to_owned() }
    }
}

/// What proves that no page of a file was lost (docs/format.md, section 7.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Pages with a signature other than 0.
    pub pages: u64,
    /// Sum of their terms modulo 2^128.
    pub sum: u128,
    /// How many blocks the writer has read.
    pub blocks: u64,
}

/// A run of pages with signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SignRange {
    /// First page in the block.
    pub first_page: u16,
    /// How many pages, 1..=256.
    pub pages: u16,
}

/// Page signatures of one block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// Which pages; ascending, not touching.
    pub ranges: Vec<SignRange>,
    /// The signatures of all ranges, one after another; 0: a page of zeros.
    pub signatures: Vec<u64>,
}

impl Signs {
    /// From pages in ascending order; a page of 256 or more, or one that is not above the page before, is left out.
    pub fn from_pages(pages: impl IntoIterator<Item = (u16, u64)>) -> Signs {
        let mut signs = Signs::default();
        let mut end = 0;
        for (page, signature) in pages {
            if page < end || usize::from(page) >= crate::hash::BLOCK_PAGES {
                continue;
            }
            match signs.ranges.last_mut() {
                Some(range) if page == end => range.pages += 1,
                _ => signs.ranges.push(SignRange { first_page: page, pages: 1 }),
            }
            signs.signatures.push(signature);
            end = page + 1;
        }
        signs
    }

    /// Every page that is named, and its signature.
    pub fn pages(&self) -> impl Iterator<Item = (u16, u64)> {
        let pages = self.ranges.iter().flat_map(|range| range.first_page..range.first_page.saturating_add(range.pages));
        pages.zip(self.signatures.iter().copied())
    }
}

/// What stands under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
// Rows are streamed, a few at a time; a box for the largest variant would cost every row of every sweep an allocation.
#[allow(clippy::large_enum_variant)]
pub enum Value {
    /// Hides what older rows say under this key.
    Tombstone,
    /// See [`Head`].
    Head(Head),
    /// Inode of the root or of a file with several links.
    Inode(Inode),
    /// A name in a directory.
    Entry(Entry),
    /// Something that was not captured.
    Missed(Missed),
    /// Extents of a block, in ascending order.
    Block(Vec<Extent>),
    /// Sum of a file.
    Sum(Sum),
    /// Page signatures of a block.
    Sign(Signs),
    /// Where the file with a handle was seen.
    Node {
        /// In which directory.
        directory: u64,
        /// Under which name.
        name: Vec<u8>,
    },
    /// Where a segment is.
    Segment {
        /// Its first byte.
        location: Location,
        /// Its length in bytes.
        length: u32,
    },
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Built by [`super::key`].
    pub key: Vec<u8>,
    /// What stands there.
    pub value: Value,
}

impl Inode {
    /// Shows every place in a pack that it names, with its length in bytes.
    pub fn visit_locations(&self, mut visit: impl FnMut(&Location, u32)) {
        for extent in self.extent_lists().flatten() {
            if let Some(location) = &extent.source {
                visit(location, extent.length);
            }
        }
    }

    fn extent_lists(&self) -> impl Iterator<Item = &[Extent]> {
        let stored = self.attributes.iter().filter_map(|attribute| match &attribute.value {
            AttributeValue::Inline(_) => None,
            AttributeValue::Stored { extents, .. } => Some(extents.as_slice()),
        });
        self.inline.iter().map(|inline| inline.extents.as_slice()).chain(stored)
    }

    fn extent_lists_mut(&mut self) -> impl Iterator<Item = &mut [Extent]> {
        let stored = self.attributes.iter_mut().filter_map(|attribute| match &mut attribute.value {
            AttributeValue::Inline(_) => None,
            AttributeValue::Stored { extents, .. } => Some(extents.as_mut_slice()),
        });
        self.inline.iter_mut().map(|inline| inline.extents.as_mut_slice()).chain(stored)
    }
}

impl Value {
    fn inode(&self) -> Option<&Inode> {
        match self {
            Value::Inode(inode) => Some(inode),
            Value::Entry(entry) => entry.inode.as_ref(),
            _ => None,
        }
    }

    fn inode_mut(&mut self) -> Option<&mut Inode> {
        match self {
            Value::Inode(inode) => Some(inode),
            Value::Entry(entry) => entry.inode.as_mut(),
            _ => None,
        }
    }

    /// Shows every place in a pack that this value names, with its length in bytes.
    pub fn visit_locations(&self, mut visit: impl FnMut(&Location, u32)) {
        let mut extents = |list: &[Extent]| {
            for extent in list {
                if let Some(location) = &extent.source {
                    visit(location, extent.length);
                }
            }
        };
        match self {
            Value::Block(list) => extents(list),
            Value::Segment { location, length } => visit(location, *length),
            _ => self.inode().into_iter().flat_map(Inode::extent_lists).for_each(extents),
        }
    }

    /// As [`Value::visit_locations`], to be changed.
    pub fn visit_locations_mut(&mut self, mut visit: impl FnMut(&mut Location, u32)) {
        let mut extents = |list: &mut [Extent]| {
            for extent in list {
                let length = extent.length;
                if let Some(location) = &mut extent.source {
                    visit(location, length);
                }
            }
        };
        match self {
            Value::Block(list) => extents(list),
            Value::Segment { location, length } => visit(location, *length),
            _ => self.inode_mut().into_iter().flat_map(Inode::extent_lists_mut).for_each(extents),
        }
    }

    /// Shows every pack that this value names, once per place.
    pub fn visit_packs(&self, mut visit: impl FnMut(PackId)) {
        self.visit_locations(|location, _| visit(location.pack));
    }

    /// Replaces every pack that this value names.
    pub fn map_packs(&mut self, mut map: impl FnMut(PackId) -> PackId) {
        self.visit_locations_mut(|location, _| location.pack = map(location.pack));
    }
}
