//! Names that a store lists: each is refused or written again byte for byte; no mark counts that upkeep did not sign.
#![no_main]

use holdfast_fuzz::within;
use libfuzzer_sys::fuzz_target;
use model::{DomainId, RepositoryId};
use repository::features::{Features, Standing};
use repository::keys::UpkeepPublic;
use repository::layout::{NeededBy, ParsedName};
use repository::marks::{MarkSet, MarkVerifier};

fuzz_target!(|data: &[u8]| {
    let Ok(name) = std::str::from_utf8(data) else { return };
    // A message repeats at most 400 characters of a name, but a character may take four bytes.
    within(4 * name.len(), || match ParsedName::parse(name) {
        Ok(parsed) => assert_eq!(parsed.to_string(), name, "a name has one spelling"),
        Err(error) => assert!(error.to_string().len() < 10_000, "a message has a bound"),
    });
    let features = Features::from_listing([name]);
    if let Ok(ParsedName::Feature { needed_by, .. }) = ParsedName::parse(name) {
        let known = features.standing() != Standing::Original;
        assert_eq!(features.check(needed_by).is_ok(), known && needed_by == NeededBy::Collect, "version 1 knows replicas");
    }
    let _ = NeededBy::ALL.map(|needed_by| features.check(needed_by).is_ok());
    let domain = match ParsedName::parse(name) {
        Ok(ParsedName::Mark { domain, .. }) => domain,
        _ => DomainId([0; 16]),
    };
    let verifier = MarkVerifier { repository: RepositoryId([1; 32]), upkeep: UpkeepPublic(UPKEEP) };
    let marks = MarkSet::from_listing([name], &verifier, domain, None);
    assert_eq!((marks.iter().count(), marks.invalid().len()), (0, 1), "nobody has signed it");
});

/// The public key of the seed of 32 zero bytes.
const UPKEEP: [u8; 32] = [
    0x3b, 0x6a, 0x27, 0xbc, 0xce, 0xb6, 0xa4, 0x2d, 0x62, 0xa3, 0xa8, 0xd0, 0x2a, 0x6f, 0x0d, 0x73, 0x65, 0x32, 0x15,
    0x77, 0x1d, 0xe2, 0x43, 0xa6, 0x3a, 0xc0, 0x48, 0xa1, 0x8b, 0x59, 0xda, 0x29,
];
