//! What has to hold of the module above, one claim per test.

use super::*;
use crate::keys::{RepositoryKey, SystemRandom};

const DOMAIN: DomainId = DomainId([1; 16]);
const VOLUME: VolumeId = VolumeId([2; 16]);
const SESSION: SessionId = SessionId([3; 16]);
const RUN: MarkRun = MarkRun([4; 16]);

struct Upkeep {
    key: UpkeepKey,
    verifier: MarkVerifier,
}

impl Upkeep {
    fn new() -> Upkeep {
        let key = RepositoryKey::generate(&mut SystemRandom).unwrap();
        let (key, repository, _) = UpkeepKey::generate(&key, &mut SystemRandom).unwrap();
        let verifier = MarkVerifier { repository, upkeep: key.public() };
        Upkeep { key, verifier }
    }

    fn mark(&self, mark: Mark, run: MarkRun) -> String {
        mark_name((&self.key, self.verifier.repository), DOMAIN, (VOLUME, SESSION), mark, run).unwrap()
    }

    fn set(&self, names: &[String]) -> MarkSet {
        MarkSet::from_listing(names.iter().map(String::as_str), &self.verifier, DOMAIN, Some(VOLUME))
    }

    fn refuses(&self, name: String) -> InvalidMarkReason {
        let set = self.set(std::slice::from_ref(&name));
        assert_eq!(set.iter().count(), 0, "{name} counts");
        assert_eq!(set.invalid().len(), 1);
        assert_eq!(set.invalid()[0].name, name);
        set.invalid()[0].why
    }
}

#[test]
fn a_signed_mark_counts_for_its_session_alone() {
    let upkeep = Upkeep::new();
    let set = upkeep.set(&[upkeep.mark(Mark::Retired, RUN), upkeep.mark(Mark::Doomed, RUN)]);
    assert!(set.invalid().is_empty());
    let marks = set.of(VOLUME, SESSION);
    assert!(marks.has(Mark::Retired) && marks.has(Mark::Doomed) && !marks.has(Mark::Dead) && !marks.has(Mark::Abort));
    assert_eq!(set.of(VOLUME, SessionId([9; 16])), &SessionMarks::default());
    assert_eq!(set.of(VolumeId([9; 16]), SESSION), &SessionMarks::default());
}

#[test]
fn what_a_mark_means_is_as_in_the_format() {
    let upkeep = Upkeep::new();
    let means = [
        (Mark::Abort, (false, false, true)),
        (Mark::Dead, (true, false, true)),
        (Mark::Retired, (false, true, false)),
        (Mark::Doomed, (true, false, false)),
    ];
    for (mark, expected) in means {
        let set = upkeep.set(&[upkeep.mark(mark, RUN)]);
        let marks = set.of(VOLUME, SESSION);
        assert_eq!((marks.invalidates(), marks.hides(), marks.ends_session()), expected, "{mark}");
    }
}

#[test]
fn marks_of_several_runs_stand_beside_each_other_with_their_names() {
    let upkeep = Upkeep::new();
    let names = [upkeep.mark(Mark::Doomed, RUN), upkeep.mark(Mark::Doomed, MarkRun([5; 16]))];
    let set = upkeep.set(&names);
    let found: Vec<_> = set.of(VOLUME, SESSION).iter().collect();
    assert_eq!(found, [(Mark::Doomed, RUN, names[0].as_str()), (Mark::Doomed, MarkRun([5; 16]), names[1].as_str())]);
}

#[test]
fn an_unsigned_mark_does_not_count() {
    let upkeep = Upkeep::new();
    let unsigned = layout::unsigned_mark(DOMAIN, VOLUME, SESSION, Mark::Doomed, RUN);
    assert_eq!(upkeep.refuses(unsigned.clone()), InvalidMarkReason::Misspelled);
    assert_eq!(upkeep.refuses(format!("{unsigned}.{}", "00".repeat(64))), InvalidMarkReason::NotSigned);
    assert_eq!(upkeep.refuses(format!("d/{DOMAIN}/marks/{VOLUME}/readme")), InvalidMarkReason::Misspelled);
}

#[test]
fn a_mark_that_another_repository_signed_does_not_count() {
    let (upkeep, other) = (Upkeep::new(), Upkeep::new());
    assert_eq!(upkeep.refuses(other.mark(Mark::Doomed, RUN)), InvalidMarkReason::NotSigned);
    // Nor one that the same key signed for another repository id.
    let name =
        mark_name((&upkeep.key, other.verifier.repository), DOMAIN, (VOLUME, SESSION), Mark::Doomed, RUN).unwrap();
    assert_eq!(upkeep.refuses(name), InvalidMarkReason::NotSigned);
}

#[test]
fn a_signature_does_not_fit_any_other_name() {
    let upkeep = Upkeep::new();
    let name = upkeep.mark(Mark::Retired, RUN);
    let signature = name.rsplit_once('.').unwrap().1;
    let moved = [
        layout::unsigned_mark(DOMAIN, VOLUME, SESSION, Mark::Doomed, RUN),
        layout::unsigned_mark(DOMAIN, VOLUME, SESSION, Mark::Retired, MarkRun([5; 16])),
        layout::unsigned_mark(DOMAIN, VOLUME, SessionId([9; 16]), Mark::Retired, RUN),
    ];
    for unsigned in moved {
        assert_eq!(upkeep.refuses(format!("{unsigned}.{signature}")), InvalidMarkReason::NotSigned);
    }
    for at in name.len() - 128..name.len() {
        let flipped = if &name[at..=at] == "0" { "1" } else { "0" };
        assert_eq!(
            upkeep.refuses(format!("{}{flipped}{}", &name[..at], &name[at + 1..])),
            InvalidMarkReason::NotSigned
        );
    }
}

#[test]
fn a_mark_of_another_volume_or_domain_does_not_count_here() {
    let upkeep = Upkeep::new();
    let other =
        mark_name((&upkeep.key, upkeep.verifier.repository), DOMAIN, (VolumeId([9; 16]), SESSION), Mark::Dead, RUN)
            .unwrap();
    assert_eq!(upkeep.refuses(other.clone()), InvalidMarkReason::Elsewhere);
    let all = MarkSet::from_listing([other.as_str()], &upkeep.verifier, DOMAIN, None);
    assert!(all.of(VolumeId([9; 16]), SESSION).has(Mark::Dead));
    let elsewhere = MarkSet::from_listing([other.as_str()], &upkeep.verifier, DomainId([9; 16]), None);
    assert_eq!(elsewhere.invalid()[0].why, InvalidMarkReason::Elsewhere);
}

#[test]
fn a_damage_report_is_signed_like_a_mark() {
    let upkeep = Upkeep::new();
    let name = damage_name((&upkeep.key, upkeep.verifier.repository), DOMAIN, (SESSION, 7), RUN).unwrap();
    assert!(upkeep.verifier.verifies(&ParsedName::parse(&name).unwrap()));
    let moved = name.replace(".00000007.", ".00000008.");
    assert!(!upkeep.verifier.verifies(&ParsedName::parse(&moved).unwrap()));
    assert!(!upkeep.verifier.verifies(&ParsedName::Repository));
}
