//! What has to hold of the module above, one claim per test.

use super::*;
use proptest::prelude::*;

fn any_name() -> impl Strategy<Value = ParsedName> {
    let ids = (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<[u8; 16]>(), any::<[u8; 16]>());
    let rest = (any::<u64>(), any::<u32>(), any::<[u8; 64]>(), 0..4usize, "[a-z0-9-]{1,64}");
    (0..10u8, ids, rest).prop_map(
        |(kind, (domain, volume, session, key), (number, sequence, signature, pick, name))| {
            let (domain, volume, session) = (DomainId(domain), VolumeId(volume), SessionId(session));
            let (run, signature, mark) = (MarkRun(key), Signature(signature), Mark::ALL[pick]);
            match kind {
                0 => ParsedName::Repository,
                1 => ParsedName::Feature { name: FeatureName(name), needed_by: NeededBy::ALL[pick % 3] },
                2 => ParsedName::RecipientKey(KeyId(key)),
                3 => ParsedName::DomainKey { domain, epoch: number, key: KeyId(key) },
                4 => ParsedName::SessionOpen { domain, session },
                5 => ParsedName::SessionBeat { domain, session, number },
                6 => ParsedName::Pack { domain, session, sequence },
                7 => ParsedName::Point { domain, volume, session },
                8 => ParsedName::Mark { domain, volume, session, mark, run, signature },
                _ => ParsedName::Damage { domain, session, sequence, run, signature },
            }
        },
    )
}

proptest! {
    #[test]
    fn a_name_is_read_as_it_is_written(name in any_name()) {
        prop_assert_eq!(ParsedName::parse(&name.to_string()), Ok(name));
    }

    #[test]
    fn a_name_with_one_byte_changed_has_another_meaning_or_none(name in any_name(), at: prop::sample::Index, to in "[ -~]") {
        let text = name.to_string();
        let at = at.index(text.len());
        let changed = format!("{}{to}{}", &text[..at], &text[at + 1..]);
        match ParsedName::parse(&changed) {
            // Whatever is accepted has exactly one spelling, so no two names can mean one object.
            Ok(meaning) => prop_assert_eq!(meaning.to_string(), changed),
            Err(_) => prop_assert!(changed != text),
        }
    }

    #[test]
    fn any_text_is_parsed_without_a_panic(text in "\\PC{0,80}", tail in "(d/|keys/|features/|/|\\.|é|[0-9a-f]{32}){0,12}") {
        for name in [text, tail] {
            if let Ok(meaning) = ParsedName::parse(&name) {
                prop_assert_eq!(meaning.to_string(), name);
            }
        }
    }
}

const DOMAIN: &str = "000102030405060708090a0b0c0d0e0f";
const SESSION: &str = "0192f0c4a1b27c3d8e4f5a6b7c8d9eaf";

#[test]
fn names_are_those_of_the_format() {
    let (domain, session) = (DOMAIN.parse().unwrap(), SESSION.parse().unwrap());
    assert_eq!(pack(domain, session, 0x2a), format!("d/{DOMAIN}/packs/af/{SESSION}/0000002a"));
    assert_eq!(
        point(domain, VolumeId([1; 16]), session),
        format!("d/{DOMAIN}/points/{}/{SESSION}.point", "01".repeat(16))
    );
    assert_eq!(session_open(domain, session), format!("d/{DOMAIN}/sessions/{SESSION}.open"));
    assert_eq!(session_beat(domain, session, 10), format!("d/{DOMAIN}/sessions/{SESSION}.beat.10"));
    assert_eq!(domain_key(domain, 3, KeyId([2; 16])), format!("d/{DOMAIN}/keys/3.{}.key", "02".repeat(16)));
    assert_eq!(recipient_key(KeyId([3; 16])), format!("keys/{}.age", "03".repeat(16)));
    let mark = unsigned_mark(domain, VolumeId([1; 16]), session, Mark::Doomed, MarkRun([4; 16]));
    assert_eq!(mark, format!("d/{DOMAIN}/marks/{}/{SESSION}.doomed.{}", "01".repeat(16), "04".repeat(16)));
}

#[test]
fn a_name_in_a_known_folder_is_misspelled_when_it_is_not_canonical() {
    let names = [
        format!("d/{DOMAIN}/packs/ae/{SESSION}/0000002a"), // another shard
        format!("d/{DOMAIN}/packs/af/{SESSION}/2a"),
        format!("d/{DOMAIN}/packs/af/{SESSION}/0000002A"),
        format!("d/{DOMAIN}/packs/af/{SESSION}/0000002a/x"),
        format!("d/{DOMAIN}/packs/{SESSION}/{SESSION}/0000002a"),
        format!("d/{DOMAIN}/keys/01.{DOMAIN}.key"),
        format!("d/{DOMAIN}/keys/+1.{DOMAIN}.key"),
        format!("d/{DOMAIN}/keys/18446744073709551616.{DOMAIN}.key"),
        format!("d/{DOMAIN}/sessions/{SESSION}.beat.00"),
        format!("d/{DOMAIN}/sessions/{SESSION}.beat"),
        format!("d/{DOMAIN}/sessions/{SESSION}.open.1"),
        format!("d/{DOMAIN}/points/{DOMAIN}/{SESSION}"),
        format!("d/{DOMAIN}/marks/{DOMAIN}/{SESSION}.doomed.{DOMAIN}"),
        format!("d/{}/points/{DOMAIN}/{SESSION}.point", DOMAIN.to_uppercase()),
        "features/Compression.read".to_owned(),
        format!("keys/{DOMAIN}.age.bak"),
    ];
    for name in names {
        assert_eq!(ParsedName::parse(&name), Err(UnknownName::Misspelled(name.clone())));
    }
}

#[test]
fn what_a_later_version_may_put_elsewhere_is_foreign() {
    for name in
        ["runs/1", "README", "", "/", "d", "d/x", &format!("d/{DOMAIN}/tags/1"), "probe/1/a", "repository.json/x"]
    {
        assert_eq!(ParsedName::parse(name), Err(UnknownName::Foreign(name.to_owned())));
    }
}
