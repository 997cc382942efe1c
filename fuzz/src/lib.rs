//! What all fuzz targets share: the bound on memory, and the fixed things that decoders need beside bytes.
//!
//! In: work to be done within a bound, input to be cut into parts. Out: the work's result, or an abort that the fuzzer reports with the input. Never: a clock,
//! randomness or a file, so that one input always does the same.

use std::alloc::System;

use cap::Cap;
use model::{KeyId, RepositoryId, SessionId};
use repository::seal::{Binding, ClassKey, KeyClass, KeyRing, ObjectKind};
use repository::tree::{Class, PackId, PackList};

/// Every allocation of a target passes here. The fuzzer's own limit would need a sanitizer's hooks, and sees only what is touched.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// What any decoder may use whatever its input: a message, a first small vector.
const ALWAYS_BYTES: usize = 16 << 10;

/// Does `work`, which may hold `bytes` and a little more at any one time; an allocation beyond that ends the process.
pub fn within<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let limit = MEMORY.allocated().saturating_add(bytes).saturating_add(ALWAYS_BYTES);
    assert_eq!(MEMORY.set_limit(limit), Ok(()), "a limit above what is in use");
    let result = work();
    assert_eq!(MEMORY.set_limit(usize::MAX), Ok(()), "no limit");
    result
}

/// How many packs [`packs`] has.
const PACKS: u8 = 64;

/// A pack list as a table footer would give it.
pub fn packs() -> Vec<PackId> {
    (0..PACKS).map(|number| PackId { session: SessionId([number; 16]), seq: u32::from(number) }).collect()
}

/// The same list for an encoder, so that every pack keeps its number.
pub fn pack_list() -> PackList {
    let mut list = PackList::new();
    for pack in packs() {
        list.number(pack);
    }
    list
}

/// The class that the first byte names, and what follows it.
pub fn class_and_rest(data: &[u8]) -> Option<(Class, &[u8])> {
    let (class, rest) = data.split_first()?;
    Some((Class::from_number(*class)?, rest))
}

/// A part with its length (two bytes, little-endian) before it, and what follows; `None` if that is more than there is.
pub fn part(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))
}

/// What the objects of all targets are bound to.
pub fn binding(kind: ObjectKind) -> Binding<'static> {
    Binding { repository: RepositoryId([1; 32]), kind, name: "d/00/object" }
}

/// The keys of all targets.
pub fn keys() -> [ClassKey; 3] {
    [KeyClass::Structure, KeyClass::Metadata, KeyClass::Data]
        .map(|class| ClassKey::new(class, KeyId([2; 16]), [class as u8; 32]))
}

/// The same keys, at hand.
pub fn ring() -> KeyRing {
    let mut ring = KeyRing::default();
    keys().into_iter().for_each(|key| ring.add(key));
    ring
}
