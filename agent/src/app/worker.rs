//! Worker: this process as the worker of another one.
//!
//! In: what the operating system offers. Out: an exit code that says nothing its events have not said. Never: decides anything.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use repository::keys::SystemRandom;
use repository::store::{self, OpenMode, Store};
use tokio::runtime::Runtime;

use super::{Exit, Failure};
use crate::worker::job::{Failed, Job};
use crate::worker::run::{self, Parts};

/// Requests to a store wait more than they work, and their stacks count.
const REQUEST_THREADS: NonZeroUsize = NonZeroUsize::MIN;

pub(super) fn run() -> Result<Exit, Failure> {
    volume::share_one_heap();
    let mut requests = None;
    let parts = Parts {
        open_store: Box::new(|job| open_store(job, &mut requests)),
        clock: Arc::new(super::now),
        uptime: Box::new(uptime),
        random: Arc::new(Mutex::new(SystemRandom)),
        monotonic: Box::new(super::monotonic),
        sleep: Box::new(std::thread::sleep),
    };
    let done = run::run(parts);
    // A request that nobody waits for any more must not keep the process.
    requests.into_iter().for_each(Runtime::shutdown_background);
    Ok(if done { Exit::Done } else { Exit::Failed })
}

/// With threads of its own, which are started when the process is confined.
fn open_store(job: &Job, requests: &mut Option<Runtime>) -> Result<Store, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(REQUEST_THREADS.get())
        .enable_all()
        .thread_name("requests")
        .build()
        .map_err(|error| Failed::new(model::ErrorClass::Retry, format!("cannot start threads: {error}")))?;
    let setting = |name: &str| job.settings.get(name).cloned();
    let opened = store::open(&job.repository, &setting, OpenMode::Existing);
    let opened = opened.map_err(|error| Failed::new(error.class(), error))?;
    let store = Store::new(opened, runtime.handle().clone());
    *requests = Some(runtime);
    Ok(store)
}

fn uptime() -> Option<Duration> {
    clock_gettime(ClockId::CLOCK_BOOTTIME).ok().map(Duration::from)
}
