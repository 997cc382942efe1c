//! `repository.json`: refused, or exactly what its members say.
#![no_main]

use holdfast_fuzz::within;
use libfuzzer_sys::fuzz_target;
use repository::keys::{MANIFEST_BYTES_MAX, RepositoryManifest};

fuzz_target!(|data: &[u8]| {
    let Ok(manifest) = within(128 * data.len().min(MANIFEST_BYTES_MAX as usize), || RepositoryManifest::parse(data))
    else {
        return;
    };
    assert!(data.len() as u64 <= MANIFEST_BYTES_MAX);
    let json: serde_json::Value = serde_json::from_slice(data).expect("it was read as JSON");
    assert_eq!((&json["format"], &json["version"]), (&"holdfast".into(), &1.into()));
    assert_eq!(json["repository"], manifest.repository.to_string());
    assert_eq!(json["upkeep_public"], manifest.upkeep_public.to_string());
    assert_eq!(json["created"], manifest.created);
});
