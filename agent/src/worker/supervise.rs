//! Supervise: workers are started, watched and ended.
//!
//! In: assignments. Out: what became of each, and beats on the way. Never: waits for a worker that does not answer: it is killed, its place is given to the next volume,
//! and its own volume waits longer each time.

mod backoff;
mod process;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use zeroize::Zeroizing;

use super::job::{Done, Event, Failed, Job};
use super::manners::Monotonic;
use backoff::Backoff;
use process::Worker;

/// How workers are run.
pub struct Config {
    /// The program, and the arguments that make a worker of it.
    pub program: PathBuf,
    /// See `program`.
    pub arguments: Vec<String>,
    /// So many at a time.
    pub workers: usize,
    /// So long a call into a volume may take, and so long a worker may be silent.
    pub patience: Duration,
    /// So long a worker may take to end in order.
    pub grace: Duration,
    /// Time that only goes forward.
    pub monotonic: Monotonic,
}

/// A volume to be backed up, and the keys for it.
#[derive(Clone)]
pub struct Assignment {
    /// What to do.
    pub job: Job,
    /// The bytes of a [`repository::keys::DomainGrant`].
    pub grant: Zeroizing<Vec<u8>>,
}

/// What a supervisor tells of an assignment.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The name of the volume.
    pub volume: String,
    /// What happened.
    pub news: News,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// The worker says something.
    Event(Event),
    /// It is over.
    Ended(Outcome),
}

/// How an assignment ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// There is a restore point.
    Done(Box<Done>),
    /// The worker says why there is none.
    Failed(Failed),
    /// The volume does not answer; the worker was killed.
    Hung {
        /// For how long it did not.
        silent: Duration,
    },
    /// The worker ended without a word.
    Died {
        /// How.
        how: String,
    },
    /// It was to stop, and did.
    Stopped,
    /// It hung or died before, and its time has not come.
    TooSoon {
        /// When it may be tried again, from now.
        wait: Duration,
    },
}

/// Runs assignments until there are no more, or until `stop` ends (its sender is dropped): then workers end in order, as far as they do within the grace.
///
/// The calling thread is one of those that start workers; a worker is killed by the kernel when the thread that started it ends.
pub fn supervise(config: &Config, assignments: &Receiver<Assignment>, reports: &Sender<Report>, stop: &Receiver<()>) {
    let backoff = Mutex::new(Backoff::default());
    std::thread::scope(|scope| {
        for _ in 0..config.workers.max(1) {
            scope.spawn(|| one_after_the_other(config, assignments, reports, stop, &backoff));
        }
    });
}

fn one_after_the_other(
    config: &Config,
    assignments: &Receiver<Assignment>,
    reports: &Sender<Report>,
    stop: &Receiver<()>,
    backoff: &Mutex<Backoff>,
) {
    loop {
        let assignment = crossbeam_channel::select_biased! {
            recv(stop) -> _ => return,
            recv(assignments) -> assignment => assignment,
        };
        let Ok(Assignment { job, grant }) = assignment else { return };
        let locked = || backoff.lock().unwrap_or_else(PoisonError::into_inner);
        let tell = |news| {
            // Whoever does not want to know any more has dropped the other end.
            let _ = reports.send(Report { volume: job.volume.clone(), news });
        };
        let too_soon = locked().wait(&job.volume, (config.monotonic)());
        let outcome = match too_soon {
            Some(wait) => Outcome::TooSoon { wait },
            None => match Worker::start(config, &job, &grant) {
                Ok(worker) => worker.watch(config, &job, stop, &|event| tell(News::Event(event))),
                Err(error) => Outcome::Died { how: format!("it could not be started: {error}") },
            },
        };
        match &outcome {
            Outcome::Hung { .. } | Outcome::Died { .. } => locked().failed(&job.volume, (config.monotonic)()),
            Outcome::Done(_) | Outcome::Failed(_) => locked().answered(&job.volume),
            Outcome::Stopped | Outcome::TooSoon { .. } => {}
        }
        tell(News::Ended(outcome));
    }
}
