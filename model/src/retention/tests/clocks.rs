//! Clocks that jump: the writer's, the collector's.

use super::*;

/// Thirty days, one point a day, each the child of the one before, in a repository that was copied yesterday: arrivals say nothing.
fn copied_month() -> Vec<Candidate> {
    let day = |number: u8| Candidate {
        parent: (number > 1).then(|| id(number - 1)),
        arrived_ms: Some(NOW - DAY),
        ..point(number, NOW - i64::from(40 - number) * DAY)
    };
    (1..=30).map(day).collect()
}

fn gfs() -> Policy {
    keeping(|policy| {
        policy.daily = KeepCount::at_most(7);
        policy.weekly = KeepCount::at_most(4);
    })
}

#[test]
fn one_point_of_a_wrong_future_costs_no_other_its_slot() {
    let before = kept(&gfs(), &copied_month());
    for wrong in 0..30 {
        let mut points = copied_month();
        // Ten years ahead, when it was made; the time of arrival bounds it.
        points[wrong].created_ms += 3650 * DAY;
        let after = kept(&gfs(), &points);
        let lost: Vec<&u8> = before.iter().filter(|number| !after.contains(number)).collect();
        // It takes one daily and one weekly slot of its own: the last of each.
        assert!(lost.len() <= 2, "{wrong}: {lost:?}");
    }
}

#[test]
fn a_clock_that_was_ahead_is_put_where_it_arrived() {
    let mut ahead = point(3, NOW + 3650 * DAY);
    ahead.arrived_ms = Some(NOW - 2 * DAY);
    let points = [point(1, NOW - 3 * DAY), point(2, NOW - 2 * DAY - HOUR), ahead, point(4, NOW - DAY)];
    assert_eq!(kept(&keeping(|policy| policy.daily = KeepCount::at_most(2)), &points), [3, 4]);
}

#[test]
fn a_time_that_has_not_come_fills_no_slot_and_stays() {
    let mut future = point(9, NOW + 1);
    future.arrived_ms = None;
    let points = [point(1, NOW - 2 * DAY), point(2, NOW - DAY), future];
    let policy = keeping(|policy| policy.last = KeepCount::at_most(2));
    assert_eq!(kept(&policy, &points), [9, 1, 2]);
    assert_eq!(reasons(&policy, &points, 9), "keep: its time has not come");
    assert_eq!(kept(&keeping(|policy| policy.daily = KeepCount::at_most(2)), &points), [9, 1, 2]);
}

#[test]
fn a_clock_that_went_back_does_not_make_the_newest_old() {
    let mut points = vec![point(1, NOW - 3 * DAY), point(2, NOW - 2 * DAY)];
    points.push(Candidate { parent: Some(id(2)), arrived_ms: Some(NOW - DAY), ..point(3, 0) });
    let policy = keeping(|policy| policy.last = KeepCount::at_most(1));
    assert_eq!(kept(&policy, &points), [2, 3], "the good one of a right clock and the newest");
    assert_eq!(reasons(&policy, &points, 3), "keep: newest, newest good, last 1");
    // The point through which that is known stays with it.
    assert!(reasons(&policy, &points, 2).contains("orders one that stays"));
}

#[test]
fn a_time_of_the_past_takes_no_slot_from_a_right_one() {
    let mut points = [point(1, NOW - 3 * DAY), point(2, 0), point(3, NOW - DAY)];
    for (at, point) in points.iter_mut().enumerate() {
        point.parent = (at > 0).then(|| id(at as u8));
        point.arrived_ms = None;
    }
    assert_eq!(kept(&keeping(|policy| policy.daily = KeepCount::at_most(2)), &points), [1, 3]);
}

#[test]
fn wild_clocks_of_the_past_push_nobody_out() {
    let mut points = copied_month();
    for point in &mut points {
        point.arrived_ms = Some(point.created_ms);
    }
    let before = kept(&gfs(), &points);
    for number in 31..=60 {
        let arrived_ms = NOW - 9 * DAY + i64::from(number) * HOUR;
        // A year ago, or ten, or before anybody counted.
        let created_ms =
            [NOW - 365 * DAY * i64::from(number - 30), i64::MIN + i64::from(number)][usize::from(number % 2)];
        points.push(Candidate {
            parent: Some(id(number - 1)),
            arrived_ms: Some(arrived_ms),
            ..point(number, created_ms)
        });
    }
    let after = kept(&gfs(), &points);
    assert!(before.iter().all(|number| after.contains(number)), "{before:?} {after:?}");
}

#[test]
fn the_collectors_clock_moves_no_slot() {
    let mut points = copied_month();
    for point in &mut points {
        point.arrived_ms = Some(point.created_ms);
    }
    let at = |now| kept_ids(&decide(&gfs(), &points, now));
    for ahead in [1, 365, 36_500] {
        assert_eq!(at(NOW + ahead * DAY), at(NOW));
    }
    // Behind, everything lies in the future and stays.
    assert_eq!(at(NOW - 365 * DAY).len(), points.len());
}

#[test]
fn parents_in_a_ring_end() {
    let ring: Vec<Candidate> =
        (1..=5).map(|number| Candidate { parent: Some(id(number % 5 + 1)), ..point(number, NOW - DAY) }).collect();
    assert!(!kept(&Policy::default(), &ring).is_empty());
}

#[test]
fn a_hundred_thousand_points_in_one_chain_are_decided() {
    let number = |at: u32| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&at.to_be_bytes());
        SessionId(id)
    };
    // The worst case for the walk: every parent sorts after its child.
    let points: Vec<Candidate> = (0..100_000u32)
        .map(|at| Candidate { id: number(at), parent: Some(number(at + 1)), ..point(0, NOW - i64::from(at) * HOUR) })
        .collect();
    assert_eq!(kept_ids(&decide(&gfs(), &points, NOW)).len(), 9);
}
