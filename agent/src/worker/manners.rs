//! Manners: how much of the node a worker takes while it reads.
//!
//! In: limits, and the pressure that the kernel reports. Out: reads that wait their turn. Never: waits without end: however busy the node is, a tenth of the usual speed is
//! left, because a backup that never ends protects nobody.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::job::Limits;

/// Above this share of time in which somebody waits for memory or the processor, or all wait for the disk, reading slows down; in hundredths of a percent.
const PRESSURE_MIN: u64 = 1000;
/// At this share it is at its slowest.
const PRESSURE_MAX: u64 = 5000;
/// At its slowest, a read is followed by a pause of so many times what it took.
const PAUSE_MAX: u64 = 9;
/// A pause is never longer, so that whoever wants to end the worker need not wait.
const PAUSE_LONGEST: Duration = Duration::from_millis(500);

/// The time since some moment, which only goes forward.
pub type Monotonic = Box<dyn Fn() -> Duration + Send + Sync>;
/// Waits.
pub type Sleep = Box<dyn Fn(Duration) + Send + Sync>;

/// One worker's manners.
pub struct Manners {
    limits: Limits,
    now: Monotonic,
    sleep: Sleep,
    /// When the next read may begin.
    turn: Mutex<Duration>,
    /// The worst of what was reported last, in hundredths of a percent.
    pressure: AtomicU64,
}

impl Manners {
    /// The limits, and the ways to tell and to spend time.
    pub fn new(limits: Limits, now: Monotonic, sleep: Sleep) -> Manners {
        Manners { limits, now, sleep, turn: Mutex::default(), pressure: AtomicU64::new(0) }
    }

    /// The kernel's report, or `None` where it makes none.
    pub fn feel(&self, pressure: Option<u64>) {
        self.pressure.store(pressure.unwrap_or(0), Ordering::Relaxed);
    }

    /// Reads: when it is its turn, and with a pause afterwards when the node is under pressure. `bytes` is how much it read.
    pub fn read<T>(&self, read: impl FnOnce() -> T, bytes: impl FnOnce(&T) -> usize) -> T {
        let begun = self.wait_for_turn();
        let result = read();
        let ended = (self.now)();
        self.take_turn(begun, bytes(&result) as u64);
        let pause = pause_after(ended.saturating_sub(begun), self.pressure.load(Ordering::Relaxed));
        if !pause.is_zero() {
            (self.sleep)(pause);
        }
        result
    }

    /// Returns the time at which it is over.
    fn wait_for_turn(&self) -> Duration {
        loop {
            let now = (self.now)();
            let turn = *self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            match turn.checked_sub(now) {
                None | Some(Duration::ZERO) => return now,
                Some(wait) => (self.sleep)(wait.min(PAUSE_LONGEST)),
            }
        }
    }

    /// What was read pushes the next turn back.
    fn take_turn(&self, begun: Duration, bytes: u64) {
        let per = |rate: u64, amount: u64| match rate {
            0 => Duration::ZERO,
            rate => Duration::from_nanos(
                u64::try_from(u128::from(amount) * 1_000_000_000 / u128::from(rate)).unwrap_or(u64::MAX),
            ),
        };
        let cost = per(self.limits.read_bytes_per_second, bytes).max(per(self.limits.reads_per_second, 1));
        if cost.is_zero() {
            return;
        }
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // What was not used in quiet times is not saved up for a burst.
        *turn = (*turn).max(begun) + cost;
    }
}

/// How long to pause after a read that took so long.
fn pause_after(took: Duration, pressure: u64) -> Duration {
    let over = pressure.clamp(PRESSURE_MIN, PRESSURE_MAX) - PRESSURE_MIN;
    let times = (over * PAUSE_MAX).div_ceil(PRESSURE_MAX - PRESSURE_MIN);
    took.saturating_mul(u32::try_from(times).unwrap_or(u32::MAX)).min(PAUSE_LONGEST)
}

/// The worst of what the kernel reports of the last ten seconds, in hundredths of a percent; `None` where it reports nothing (before Linux 4.20, or switched off).
///
/// For memory and processors the time in which anybody waited counts; for the disk that in which all did, because a busy disk on which others get on is no reason to stop.
pub fn pressure(read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let worst = |file: &str, line: &str| average(&read(file)?, line);
    [("memory", "some"), ("cpu", "some"), ("io", "full")].into_iter().filter_map(|(file, line)| worst(file, line)).max()
}

/// `some avg10=1.23 avg60=...` to 123.
fn average(report: &str, kind: &str) -> Option<u64> {
    let line = report.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(" avg10="))?;
    let (whole, rest) = line.split_once('.')?;
    let hundredths = rest.get(..2)?;
    Some(whole.parse::<u64>().ok()?.checked_mul(100)? + hundredths.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Time that passes only by sleeping, and by as much as a read takes.
    #[derive(Clone, Default)]
    struct Time(Arc<Mutex<Duration>>);

    impl Time {
        fn pass(&self, time: Duration) {
            *self.0.lock().unwrap() += time;
        }

        fn now(&self) -> Duration {
            *self.0.lock().unwrap()
        }

        fn manners(&self, limits: Limits) -> Manners {
            let (clock, bed) = (self.clone(), self.clone());
            Manners::new(limits, Box::new(move || clock.now()), Box::new(move |time| bed.pass(time)))
        }
    }

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn without_limits_and_pressure_nothing_waits() {
        let time = Time::default();
        let manners = time.manners(Limits::default());
        for _ in 0..100 {
            manners.read(|| time.pass(MILLISECOND), |()| 1 << 20);
        }
        assert_eq!(time.now(), 100 * MILLISECOND);
    }

    #[test]
    fn bytes_and_reads_keep_to_their_rates() {
        for (limits, reads, bytes, expected) in [
            (Limits { read_bytes_per_second: 10 << 20, ..Limits::default() }, 50, 1 << 20, 5),
            (Limits { reads_per_second: 20, ..Limits::default() }, 100, 1, 5),
            (Limits { reads_per_second: 1000, read_bytes_per_second: 1 << 20, ..Limits::default() }, 5, 1 << 20, 5),
        ] {
            let time = Time::default();
            let manners = time.manners(limits);
            for _ in 0..=reads {
                manners.read(|| time.pass(MILLISECOND), |()| bytes);
            }
            let seconds = time.now().as_secs_f64();
            assert!((seconds - f64::from(expected)).abs() < 0.1, "{seconds} s of {expected} s with {limits:?}");
        }
    }

    #[test]
    fn a_quiet_hour_is_not_saved_up_for_a_burst() {
        let time = Time::default();
        let manners = time.manners(Limits { reads_per_second: 10, ..Limits::default() });
        time.pass(Duration::from_secs(3600));
        let begun = time.now();
        for _ in 0..=20 {
            manners.read(|| (), |()| 0);
        }
        assert_eq!(time.now() - begun, Duration::from_secs(2));
    }

    #[test]
    fn under_pressure_a_tenth_of_the_speed_is_left_and_no_less() {
        for (pressure, expected) in [(None, 10), (Some(999), 10), (Some(1000), 10), (Some(3000), 60), (Some(9900), 100)]
        {
            let time = Time::default();
            let manners = time.manners(Limits::default());
            manners.feel(pressure);
            for _ in 0..10 {
                manners.read(|| time.pass(MILLISECOND), |()| 1);
            }
            assert_eq!(time.now(), expected * MILLISECOND, "{pressure:?}");
        }
        assert_eq!(pause_after(Duration::from_secs(60), 10_000), PAUSE_LONGEST);
    }

    #[test]
    fn the_kernels_reports_are_read_and_their_absence_is_no_pressure() {
        let report = |file: &str| {
            let text = match file {
                "memory" => {
                    "some avg10=0.12 avg60=0.00 avg300=0.00 total=1\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=0\n"
                }
                "cpu" => "some avg10=12.34 avg60=1.00 avg300=0.00 total=5\n",
                "io" => {
                    "some avg10=88.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=3.00 avg60=0.00 avg300=0.00 total=0\n"
                }
                _ => return None,
            };
            Some(text.to_owned())
        };
        assert_eq!(pressure(report), Some(1234));
        assert_eq!(pressure(|_| None), None);
        assert_eq!(pressure(|_| Some("some avg10=".into())), None);
        assert_eq!(pressure(|_| Some("some avg10=99999999999999999999.00".into())), None);
    }
}
