//! Laws over any set of points, then the tables of what people expect.

use std::collections::BTreeSet;

use jiff::{Span, Timestamp};
use proptest::prelude::*;

use super::*;

mod attacks;
mod calendar;
mod clocks;

pub(super) const HOUR: i64 = 3_600_000;
pub(super) const DAY: i64 = 24 * HOUR;
/// 2026-11-25 12:00 UTC, a Wednesday.
pub(super) const NOW: i64 = 1_795_608_000_000;

/// A good point that arrived when it was made.
pub(super) fn point(id: u8, created_ms: i64) -> Candidate {
    Candidate {
        id: SessionId([id; 16]),
        created_ms,
        arrived_ms: Some(created_ms),
        parent: None,
        complete: true,
        checkpoint: false,
        verified: false,
        held: false,
        aborted: false,
    }
}

pub(super) fn id(number: u8) -> SessionId {
    SessionId([number; 16])
}

pub(super) fn time(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

/// The numbers of the points that stay, in the order in which they were made.
pub(super) fn kept(policy: &Policy, points: &[Candidate]) -> Vec<u8> {
    decide(policy, points, NOW).iter().filter(|made| made.verdict.keeps()).map(|made| made.id.0[0]).collect()
}

pub(super) fn reasons(policy: &Policy, points: &[Candidate], number: u8) -> String {
    let decisions = decide(policy, points, NOW);
    decisions.iter().find(|made| made.id == id(number)).unwrap().verdict.to_string()
}

pub(super) fn keeping(set: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy::default();
    set(&mut policy);
    policy
}

fn kept_ids(decisions: &[Decision]) -> BTreeSet<SessionId> {
    decisions.iter().filter(|made| made.verdict.keeps()).map(|made| made.id).collect()
}

fn any_time() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => (-60 * 24i64..30).prop_map(|hours| NOW + hours * HOUR),
        2 => (-900i64..40).prop_map(|days| NOW + days * DAY),
        1 => prop::sample::select(vec![0, 1, -1, i64::MIN, i64::MAX, NOW, NOW + 1, NOW - 365 * DAY]),
    ]
}

fn any_point(id: u8) -> impl Strategy<Value = Candidate> {
    let flags = (prop::bool::weighted(0.8), prop::bool::weighted(0.1), prop::bool::weighted(0.2));
    let more = (prop::bool::weighted(0.1), prop::bool::weighted(0.05));
    let arrived = prop_oneof![
        3 => Just(None),
        6 => (0i64..3).prop_map(Some),
        2 => (-30i64..900).prop_map(|days| Some(days * 24)),
    ];
    (any_time(), arrived, prop::option::weighted(0.7, 0u8..24), flags, more).prop_map(
        move |(created_ms, arrived, parent, (complete, checkpoint, verified), (held, aborted))| Candidate {
            created_ms,
            arrived_ms: arrived.map(|hours| created_ms.saturating_add(hours * HOUR)),
            parent: parent.map(|parent| SessionId([parent; 16])),
            complete,
            checkpoint,
            verified,
            held,
            aborted,
            ..point(id, 0)
        },
    )
}

fn any_points() -> impl Strategy<Value = Vec<Candidate>> {
    prop::collection::vec(any::<()>(), 1..20)
        .prop_flat_map(|slots| slots.iter().enumerate().map(|(at, ())| any_point(at as u8)).collect::<Vec<_>>())
}

/// Parents that lead back to where they began are something that only a liar makes; some laws hold only without them, because what is left of a ring is none.
fn any_honest_points() -> impl Strategy<Value = Vec<Candidate>> {
    any_points().prop_map(|mut points| {
        for at in 0..points.len() {
            let parent = |at: &Candidate| at.parent.and_then(|parent| points.iter().find(|point| point.id == parent));
            if std::iter::successors(Some(&points[at]), |at| parent(at)).nth(points.len()).is_some() {
                points[at].parent = None;
            }
        }
        points
    })
}

fn any_count() -> impl Strategy<Value = KeepCount> {
    prop_oneof![3 => Just(KeepCount::NONE), 6 => (1u32..6).prop_map(KeepCount::at_most), 1 => Just(KeepCount::ALL)]
}

fn any_span() -> impl Strategy<Value = Option<Span>> {
    prop::option::of((0i64..60, 0i64..48).prop_map(|(days, hours)| Span::new().days(days).hours(hours)))
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let counts = (any_count(), any_count(), any_count(), any_count(), any_count(), any_count());
    let zone = prop::sample::select(vec!["UTC0", "CET-1CEST,M3.5.0,M10.5.0/3", "<-11>11"]);
    (counts, any_span(), any_span(), zone).prop_map(|(counts, within, minimum_age, zone)| Policy {
        last: counts.0,
        hourly: counts.1,
        daily: counts.2,
        weekly: counts.3,
        monthly: counts.4,
        yearly: counts.5,
        within,
        minimum_age,
        time_zone: jiff::tz::TimeZone::posix(zone).unwrap(),
    })
}

fn longer(span: Option<Span>, days: i64) -> Span {
    let span = span.unwrap_or_default();
    span.days(i64::from(span.get_days()) + days)
}

/// More of one thing.
fn any_more_generous(policy: Policy) -> impl Strategy<Value = (Policy, Policy)> {
    (0usize..8, 1u32..4, 1i64..40).prop_map(move |(which, count, days)| {
        let mut more = policy.clone();
        let counts =
            [&mut more.last, &mut more.hourly, &mut more.daily, &mut more.weekly, &mut more.monthly, &mut more.yearly];
        match (which, counts.into_iter().nth(which)) {
            (_, Some(slot)) if *slot != KeepCount::ALL => {
                *slot = slot.to_string().parse::<u32>().map(|had| KeepCount::at_most(had + count)).unwrap();
            }
            (6, _) => more.within = Some(longer(more.within, days)),
            (7, _) => more.minimum_age = Some(longer(more.minimum_age, days)),
            _ => {}
        }
        (policy.clone(), more)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_the_input_does_not_matter(
        policy in any_policy(),
        (points, shuffled) in any_points().prop_flat_map(|points| (Just(points.clone()), Just(points).prop_shuffle())),
    ) {
        prop_assert_eq!(decide(&policy, &points, NOW), decide(&policy, &shuffled, NOW));
    }

    #[test]
    fn every_candidate_gets_one_decision(policy in any_policy(), points in any_points()) {
        let decided: BTreeSet<SessionId> = decide(&policy, &points, NOW).iter().map(|made| made.id).collect();
        prop_assert_eq!(decided, points.iter().map(|point| point.id).collect());
    }

    #[test]
    fn what_must_stay_stays(policy in any_policy(), points in any_points()) {
        let kept = kept_ids(&decide(&policy, &points, NOW));
        prop_assert!(!kept.is_empty());
        for point in &points {
            let effective = order::places(std::slice::from_ref(point), NOW)[0].time_ms;
            let since = effective.max(point.arrived_ms.unwrap_or(i64::MIN));
            let young = policy.is_younger_than_minimum(since, NOW);
            if point.held || point.checkpoint || point.aborted || effective > NOW || young {
                prop_assert!(kept.contains(&point.id), "{:?}", point);
            }
        }
    }

    #[test]
    fn the_newest_good_and_the_newest_verified_stay(policy in any_policy(), points in any_points()) {
        let decisions = decide(&policy, &points, NOW);
        let of = |id| points.iter().find(|point| point.id == id).unwrap();
        let good: Vec<&Decision> =
            decisions.iter().filter(|made| of(made.id).complete && !of(made.id).checkpoint && !of(made.id).aborted).collect();
        // By the order of parents, among those whose time has come.
        let came: Vec<&&Decision> = good.iter().filter(|made| made.time_ms <= NOW).collect();
        if let Some(newest) = came.last() {
            prop_assert!(newest.verdict.keeps());
        }
        if let Some(newest) = came.iter().rfind(|made| of(made.id).verified) {
            prop_assert!(newest.verdict.keeps());
        }
    }

    #[test]
    fn keeping_more_never_retires_more((policy, more) in any_policy().prop_flat_map(any_more_generous), points in any_points()) {
        let (less, more) = (kept_ids(&decide(&policy, &points, NOW)), kept_ids(&decide(&more, &points, NOW)));
        prop_assert!(less.is_subset(&more), "{:?} {:?}", less, more);
    }

    #[test]
    fn a_hold_retires_nothing(policy in any_policy(), points in any_points(), which in any::<prop::sample::Index>()) {
        let mut held = points.clone();
        held[which.index(points.len())].held = true;
        let (before, after) = (kept_ids(&decide(&policy, &points, NOW)), kept_ids(&decide(&policy, &held, NOW)));
        prop_assert!(before.is_subset(&after));
    }

    #[test]
    fn what_was_kept_is_kept_again(policy in any_policy(), points in any_honest_points()) {
        let kept = kept_ids(&decide(&policy, &points, NOW));
        let left: Vec<Candidate> = points.iter().filter(|point| kept.contains(&point.id)).copied().collect();
        let again = decide(&policy, &left, NOW);
        prop_assert_eq!(kept_ids(&again), kept);
    }

    #[test]
    fn a_child_comes_after_its_parent(points in any_honest_points()) {
        let order: Vec<SessionId> = decide(&Policy::default(), &points, NOW).iter().map(|made| made.id).collect();
        let at = |id| order.iter().position(|other| *other == id);
        for point in &points {
            if let Some(parent) = point.parent.and_then(at) {
                prop_assert!(Some(parent) < at(point.id));
            }
        }
    }

    #[test]
    fn a_policy_is_read_as_it_is_written(policy in any_policy()) {
        let text = serde_json::to_string(&policy).unwrap();
        let read: Policy = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
