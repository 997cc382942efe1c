//! What people know from restic and borg.

use super::*;

#[test]
fn the_newest_of_each_bucket_stays() {
    let points = [
        point(1, time("2026-11-22T09:00:00Z")),
        point(2, time("2026-11-22T21:00:00Z")),
        point(3, time("2026-11-23T09:00:00Z")),
        point(4, time("2026-11-24T09:00:00Z")),
        point(5, time("2026-11-24T09:30:00Z")),
    ];
    assert_eq!(kept(&keeping(|policy| policy.daily = KeepCount::at_most(2)), &points), [3, 5]);
    assert_eq!(kept(&keeping(|policy| policy.hourly = KeepCount::at_most(3)), &points), [2, 3, 5]);
    assert_eq!(kept(&keeping(|policy| policy.last = KeepCount::at_most(2)), &points), [4, 5]);
    assert_eq!(reasons(&keeping(|policy| policy.daily = KeepCount::at_most(2)), &points, 3), "keep: daily 2");
    assert_eq!(
        reasons(&keeping(|policy| policy.daily = KeepCount::at_most(2)), &points, 4),
        "retire: no rule needs it"
    );
}

#[test]
fn days_without_a_point_take_no_slot() {
    let points = [point(1, NOW - 300 * DAY), point(2, NOW - 200 * DAY), point(3, NOW - DAY)];
    assert_eq!(kept(&keeping(|policy| policy.daily = KeepCount::at_most(2)), &points), [2, 3]);
}

#[test]
fn a_rule_with_room_keeps_the_oldest() {
    let points = [point(1, NOW - DAY), point(2, NOW - DAY + HOUR), point(3, NOW - DAY + 2 * HOUR)];
    assert_eq!(kept(&keeping(|policy| policy.yearly = KeepCount::at_most(2)), &points), [1, 3]);
    assert_eq!(kept(&keeping(|policy| policy.yearly = KeepCount::at_most(1)), &points), [3]);
}

#[test]
fn weeks_months_and_years_follow_the_calendar() {
    // 2026-12-31 lies in ISO week 2026-W53, with 2027-01-01.
    let points = [
        point(1, time("2025-12-28T12:00:00Z")),
        point(2, time("2025-12-31T12:00:00Z")),
        point(3, time("2026-01-01T12:00:00Z")),
        point(4, time("2026-01-04T12:00:00Z")),
        point(5, time("2026-01-05T12:00:00Z")),
    ];
    assert_eq!(kept(&keeping(|policy| policy.weekly = KeepCount::at_most(3)), &points), [1, 4, 5]);
    assert_eq!(kept(&keeping(|policy| policy.monthly = KeepCount::at_most(2)), &points), [2, 5]);
    assert_eq!(kept(&keeping(|policy| policy.yearly = KeepCount::at_most(2)), &points), [2, 5]);
}

#[test]
fn days_begin_where_the_time_zone_says() {
    let points = [point(1, time("2026-11-23T22:30:00Z")), point(2, time("2026-11-23T23:30:00Z"))];
    let daily = keeping(|policy| policy.daily = KeepCount::at_most(2));
    assert_eq!(reasons(&daily, &points, 1), "keep: oldest, daily has room");
    let berlin = Policy { time_zone: jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap(), ..daily };
    assert_eq!(reasons(&berlin, &points, 1), "keep: daily 2");
}

#[test]
fn the_hour_that_comes_twice_is_two_hours() {
    let points = [point(1, time("2026-10-25T00:30:00Z")), point(2, time("2026-10-25T01:30:00Z")), point(3, NOW - DAY)];
    let mut policy = keeping(|policy| policy.hourly = KeepCount::at_most(3));
    policy.time_zone = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    assert_eq!(reasons(&policy, &points, 1), "keep: hourly 3");
}

#[test]
fn within_counts_back_from_the_newest() {
    let points = [point(1, NOW - 400 * DAY), point(2, NOW - 390 * DAY), point(3, NOW - 389 * DAY)];
    let policy = keeping(|policy| policy.within = Some(Span::new().days(1)));
    assert_eq!(kept(&policy, &points), [2, 3]);
}

#[test]
fn with_no_rule_the_newest_the_newest_good_and_the_newest_verified_stay() {
    let mut points: Vec<Candidate> =
        (1..=6).map(|number| point(number, NOW - (10 - i64::from(number)) * DAY)).collect();
    points[1].verified = true;
    points[2].verified = true;
    points[5].complete = false;
    assert_eq!(kept(&Policy::default(), &points), [3, 5, 6]);
    assert!(Policy::default().keeps_nothing());
    // To have verified what is there of a partial point does not make it good.
    points[3].complete = false;
    points[3].verified = true;
    assert_eq!(kept(&Policy::default(), &points), [3, 5, 6]);
}

#[test]
fn a_partial_point_fills_a_slot_only_where_no_good_one_does() {
    let mut points =
        [point(1, NOW - 3 * DAY), point(2, NOW - 2 * DAY), point(3, NOW - 2 * DAY + HOUR), point(4, NOW - DAY)];
    points[2].complete = false;
    points[3].complete = false;
    let daily = keeping(|policy| policy.daily = KeepCount::at_most(2));
    assert_eq!(kept(&daily, &points), [1, 2, 4], "two good days, and the partial one beside them");
    let last = keeping(|policy| policy.last = KeepCount::at_most(2));
    assert_eq!(kept(&last, &points), [1, 2, 3, 4]);
    // Where everything is partial, partial points are thinned out like good ones.
    let partial: Vec<Candidate> = (1..=9)
        .map(|number| Candidate { complete: false, ..point(number, NOW - i64::from(10 - number) * DAY) })
        .collect();
    assert_eq!(kept(&daily, &partial), [8, 9]);
}

#[test]
fn checkpoints_and_what_is_being_aborted_are_not_counted() {
    let mut points: Vec<Candidate> = (1..=4).map(|number| point(number, NOW - i64::from(10 - number) * DAY)).collect();
    points[2].checkpoint = true;
    points[3].aborted = true;
    assert_eq!(kept(&keeping(|policy| policy.last = KeepCount::at_most(1)), &points), [2, 3, 4]);
    assert_eq!(kept(&keeping(|policy| policy.last = KeepCount::at_most(2)), &points), [1, 2, 3, 4]);
}

#[test]
fn counts_are_a_number_or_all() {
    assert_eq!("7".parse(), Ok(KeepCount::at_most(7)));
    assert_eq!("all".parse(), Ok(KeepCount::ALL));
    for wrong in ["", "-1", "+3", "1.5", "seven", "4294967296"] {
        assert!(wrong.parse::<KeepCount>().is_err(), "{wrong}");
    }
    let read: Policy =
        serde_json::from_str(r#"{"daily":7,"yearly":"all","within":"14d","timeZone":"+01:00"}"#).unwrap();
    assert_eq!((read.daily, read.yearly), (KeepCount::at_most(7), KeepCount::ALL));
    assert!(serde_json::from_str::<Policy>(r#"{"dialy":7}"#).is_err(), "a misspelled rule would keep nothing");
}
