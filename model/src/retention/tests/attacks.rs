//! A compromised agent floods the volume with points that are valid in form.

use super::*;

/// A week of good points, one a day at noon.
fn week() -> Vec<Candidate> {
    let day = |number: u8| Candidate {
        parent: (number > 1).then(|| id(number - 1)),
        ..point(number, NOW - i64::from(8 - number) * DAY)
    };
    (1..=7).map(day).collect()
}

fn bogus(number: u8, created_ms: i64, arrived_ms: i64) -> Candidate {
    Candidate { arrived_ms: Some(arrived_ms), parent: Some(id(7)), ..point(number, created_ms) }
}

fn policy() -> Policy {
    keeping(|policy| {
        policy.last = KeepCount::at_most(3);
        policy.daily = KeepCount::at_most(7);
    })
}

#[test]
fn a_flood_within_the_minimum_age_pushes_nobody_out() {
    let policy = Policy { minimum_age: Some(Span::new().hours(12)), ..policy() };
    let mut points = week();
    let before = kept(&policy, &points);
    // Antedated or not: what counts is that it has just arrived.
    points.extend((100..200).map(|number| bogus(number, NOW - HOUR * i64::from(number), NOW - HOUR)));
    points.extend(
        (200..250).map(|number| bogus(number, NOW - 2 * HOUR + i64::from(number), NOW - 2 * HOUR + i64::from(number))),
    );
    let after = kept(&policy, &points);
    assert!(before.iter().all(|number| after.contains(number)), "{before:?} {after:?}");
}

#[test]
fn antedated_points_never_push_out_one_that_arrived_in_time() {
    let mut points = week();
    let before = kept(&policy(), &points);
    // The last second of every half day, long after the minimum age.
    points
        .extend((100..250).map(|number| bogus(number, NOW - i64::from(number - 99) * 12 * HOUR - 1_000, NOW - 1_000)));
    let after = kept(&policy(), &points);
    assert!(before.iter().all(|number| after.contains(number)), "{before:?} {after:?}");
}

#[test]
fn after_the_minimum_age_a_flood_takes_one_slot_for_each_day_that_passed() {
    let mut points = week();
    // A hundred points within today: today's slot, and none of an earlier day.
    points
        .extend((100..200).map(|number| bogus(number, NOW - HOUR + i64::from(number), NOW - HOUR + i64::from(number))));
    let daily = keeping(|policy| policy.daily = KeepCount::at_most(7));
    assert_eq!(kept(&daily, &points), [2, 3, 4, 5, 6, 7, 199]);
    // What `last` alone cannot prevent, and docs/cli.md says so.
    assert_eq!(kept(&keeping(|policy| policy.last = KeepCount::at_most(3)), &points), [197, 198, 199]);
}

#[test]
fn the_last_verified_point_survives_every_flood() {
    let mut points = week();
    points[3].verified = true;
    points.extend(
        (100..250).map(|number| bogus(number, NOW - 1_000 - i64::from(number), NOW - 1_000 - i64::from(number))),
    );
    assert!(kept(&keeping(|policy| policy.last = KeepCount::at_most(1)), &points).contains(&4));
}

#[test]
fn partial_points_push_out_nobody() {
    let mut points = week();
    let before = kept(&policy(), &points);
    points.extend(
        (100..200).map(|number| Candidate {
            complete: false,
            ..bogus(number, NOW - HOUR * i64::from(number - 90), NOW - HOUR)
        }),
    );
    assert!(before.iter().all(|number| kept(&policy(), &points).contains(number)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_arrives_within_the_minimum_age_pushes_nobody_out(
        policy in any_policy(),
        points in any_points(),
        flood in prop::collection::vec((any_time(), any::<bool>(), prop::option::of(0u8..20), 0i64..1000), 0..20),
    ) {
        let policy = Policy { minimum_age: Some(Span::new().hours(24)), ..policy };
        let before = kept_ids(&decide(&policy, &points, NOW));
        let mut flooded = points.clone();
        for (at, (created_ms, complete, parent, ago)) in flood.into_iter().enumerate() {
            let number = 100 + at as u8;
            flooded.push(Candidate { complete, parent: parent.map(id), ..bogus(number, created_ms, NOW - ago) });
        }
        let after = kept_ids(&decide(&policy, &flooded, NOW));
        prop_assert!(before.is_subset(&after), "{:?}", before.difference(&after).collect::<Vec<_>>());
    }

    #[test]
    fn whatever_is_antedated_or_partial_pushes_out_no_good_point(
        policy in any_policy(),
        good in prop::collection::vec((0i64..2000, any::<bool>(), any::<prop::sample::Index>()), 1..20),
        flood in prop::collection::vec((2i64..2000, any::<bool>(), prop::option::of(0u8..20), 0i64..1000), 0..30),
    ) {
        let points: Vec<Candidate> = good
            .iter()
            .enumerate()
            .map(|(at, (hours, verified, parent))| Candidate {
                verified: *verified,
                parent: (at > 0).then(|| id(parent.index(at) as u8)),
                ..point(at as u8, NOW - hours * HOUR)
            })
            .collect();
        let before = kept_ids(&decide(&policy, &points, NOW));
        let mut flooded = points.clone();
        for (at, (hours, partial, parent, ago)) in flood.into_iter().enumerate() {
            let arrived = NOW - ago * HOUR;
            let created = if partial { arrived } else { arrived - hours * HOUR };
            flooded.push(Candidate { complete: !partial, parent: parent.map(id), ..bogus(100 + at as u8, created, arrived) });
        }
        let after = kept_ids(&decide(&policy, &flooded, NOW));
        prop_assert!(before.is_subset(&after), "{:?}", before.difference(&after).collect::<Vec<_>>());
    }
}
