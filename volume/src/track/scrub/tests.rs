//! What has to hold of the module above, one claim per test.

use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;
const HOUR_MS: i64 = 60 * 60 * 1000;
const PACE: Pace = Pace { round_ms: Some(7 * DAY_MS) };

/// One file of so many blocks of 1 MiB that never changes; when each was read last.
struct Volume {
    read_ms: Vec<i64>,
    visits: Visits,
    read_bytes: u64,
}

impl Volume {
    fn new(mib: u64) -> Volume {
        Volume { read_ms: vec![0; mib as usize], visits: Visits::all(0, mib * MIB), read_bytes: 0 }
    }

    fn at(block: u64) -> Place {
        Place { directory: 1, name: b"f".to_vec(), block }
    }

    /// What the engine does with a plan.
    fn run(&mut self, now_ms: i64) {
        let plan = self.visits.plan(&PACE, now_ms);
        let (mut left, mut bytes, mut stopped) = (plan.bytes, 0, None);
        for block in 0..self.read_ms.len() as u64 {
            let at = Volume::at(block);
            let is_due = (at >= plan.from && at < plan.until) || at < plan.again_until;
            let is_affordable = at >= plan.from && left > 0 && stopped.is_none();
            if is_due || is_affordable {
                self.read_ms[block as usize] = now_ms;
                left = left.saturating_sub(MIB);
                bytes += MIB;
            } else if at >= plan.from && stopped.is_none() {
                stopped = Some(at);
            }
        }
        self.read_bytes += bytes;
        let reached = stopped.unwrap_or(Place::END);
        let walked = Walked {
            is_over: true,
            scrubbed_bytes: bytes,
            content_bytes: self.read_ms.len() as u64 * MIB,
            ..Walked::default()
        };
        self.visits = self.visits.after(&PACE, now_ms, &reached, &walked);
    }

    /// When a block was read, by the record.
    fn remembered_ms(&self, block: u64) -> i64 {
        let from = self.visits.from.place();
        let begin = |place: &Place| (*place < from, place.clone());
        let end = |place: &Place| (*place <= from, place.clone());
        let of = |visit: &&Visit| begin(&Volume::at(block)) < end(&visit.to.place());
        self.visits.visits.iter().find(of).expect("the visits go all round").at_ms
    }

    fn oldest_ms(&self) -> i64 {
        self.read_ms.iter().copied().min().unwrap()
    }
}

#[test]
fn every_interval_covers_everything_within_seven_days_and_reads_little_more_than_once() {
    for (interval_ms, mib, most) in [
        (HOUR_MS, 1000, 1.4),
        (15 * 60 * 1000, 100, 1.4),
        (6 * HOUR_MS, 37, 1.4),
        (DAY_MS, 1000, 1.4),
        (2 * DAY_MS, 10, 1.4),
        (3 * DAY_MS, 10, 1.4),
        (5 * DAY_MS, 10, 1.5),
        (30 * DAY_MS, 10, 1.0),
    ] {
        let mut volume = Volume::new(mib);
        let mut now_ms = 0;
        while now_ms < 70 * DAY_MS {
            now_ms += interval_ms;
            volume.run(now_ms);
            let age_ms = now_ms + interval_ms - volume.oldest_ms();
            assert!(age_ms <= 7 * DAY_MS.max(interval_ms), "{age_ms} ms at intervals of {interval_ms}");
        }
        let rounds = now_ms as f64 / (7 * DAY_MS).max(interval_ms) as f64;
        let read = volume.read_bytes as f64 / (mib * MIB) as f64;
        assert!(read <= rounds * most + 1.0, "{read} times in {rounds} rounds at intervals of {interval_ms}");
    }
}

/// A record has room for few times; what stands for two must be the older one.
#[test]
fn nothing_is_remembered_as_read_later_than_it_was() {
    let mut volume = Volume::new(256);
    for hour in 1..400 {
        volume.run(hour * HOUR_MS);
        for (block, read_ms) in volume.read_ms.iter().enumerate() {
            assert!(volume.remembered_ms(block as u64) <= *read_ms, "block {block} after {hour} hours");
        }
    }
    assert_eq!(volume.visits.visits.len(), VISITS_MAX, "times had to be given up");
}

#[test]
fn runs_close_together_read_nothing_until_it_is_worth_the_requests() {
    let mut volume = Volume::new(1024);
    for minute in 1..10 {
        volume.run(minute * 60 * 1000);
    }
    assert_eq!(volume.read_bytes, 0);
    volume.run(3 * HOUR_MS);
    assert!(volume.read_bytes >= 16 * MIB, "{}", volume.read_bytes);
}

#[test]
fn a_scrub_that_is_switched_off_reads_nothing_and_knows_later_what_is_old() {
    let off = Pace { round_ms: None };
    let visits = Visits::all(0, 100 * MIB);
    assert_eq!(visits.plan(&off, 100 * DAY_MS), ScrubPlan::default());
    let walked = Walked { is_over: true, content_bytes: 100 * MIB, ..Walked::default() };
    let later = visits.after(&off, 100 * DAY_MS, &Place::START, &walked);
    assert_eq!(later.plan(&PACE, 101 * DAY_MS).until, Place::END);
}

#[test]
fn a_record_that_nobody_wrote_makes_no_trouble() {
    let odd = Visits {
        from: Position(9, "zz".into(), 3),
        visits: vec![
            Visit { to: Position(3, "6".into(), 0), at_ms: i64::MAX },
            Visit { to: Position(1, "ää".into(), u64::MAX), at_ms: i64::MIN },
        ],
        run_ms: i64::MIN,
        credit_bytes: i64::MIN,
        content_bytes: u64::MAX,
    };
    let plan = odd.plan(&PACE, i64::MAX);
    assert_eq!(plan.from, Place { directory: 9, name: Vec::new(), block: 0 });
    let walked = Walked { is_over: true, scrubbed_bytes: u64::MAX, ..Walked::default() };
    odd.after(&PACE, i64::MIN, &Place::END, &walked);
}

proptest! {
    /// However irregular the runs: after each, nothing is older than it may be if the next one comes as soon as this one did.
    #[test]
    fn nothing_grows_too_old(mib in 1..200_u64, hours in prop::collection::vec(prop_oneof![1..3_i64, 1..30_i64, 1..80_i64], 1..120)) {
        let mut volume = Volume::new(mib);
        let mut now_ms = 0;
        for interval in hours {
            now_ms += interval * HOUR_MS;
            volume.run(now_ms);
            let age_ms = now_ms + interval * HOUR_MS - volume.oldest_ms();
            prop_assert!(age_ms <= 7 * DAY_MS, "{} h old", age_ms / HOUR_MS);
            prop_assert!(volume.visits.visits.len() <= VISITS_MAX);
        }
    }
}
