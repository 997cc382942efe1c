//! Watch: a snapshot, then deltas, for as long as somebody listens.
//!
//! In: the kubelet's root, how often to look at least, and what comes from outside. Out: [`Update`]s, handed over one at a time. Never: believes a signal - it only makes a
//! listing due, and the listing is the truth - and never holds more than what was told and what is true now, however slow the listener is.
//!
//! Three things make a listing due: a directory of the kubelet changed ([`directories`]), the mount table changed (`mount_table`), or the interval is over. A burst costs one listing.

mod directories;
mod mount_table;
mod signals;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, after, bounded, never, select, tick};
use model::ErrorClass;
use serde::Serialize;

use super::delta::{Change, diff};
use super::listing::{Limits, Listing, list};
use super::mounts::Mounts;
use super::snapshot::{Outside, Snapshot, keep_missed, snapshot};
use directories::Directories;
use mount_table::MountTable;
use signals::Signals;

/// What and how often to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The kubelet's root.
    pub root: PathBuf,
    /// How much is held.
    pub limits: Limits,
    /// From the first signal to the listing: what comes in between costs nothing more.
    pub debounce: Duration,
    /// A listing at least so often, because signals can be lost.
    pub reconcile: Duration,
}

impl Settings {
    /// With the intervals that fit a node: a pod that starts is seen within a quarter of a second, a signal that was lost costs half a minute.
    pub fn new(root: PathBuf) -> Settings {
        Settings {
            root,
            limits: Limits::default(),
            debounce: Duration::from_millis(250),
            reconcile: Duration::from_secs(30),
        }
    }
}

/// What the listener is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Update {
    /// All there is; the first update, and only the first.
    Snapshot(Snapshot),
    /// What changed since the update before. Whatever came and went in between is not told.
    Delta(Vec<Change>),
}

/// Discovery could not be started.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The system gave no thread or no descriptor.
    #[error("cannot watch the kubelet's directories: {0}; raise the limits of processes or open files")]
    Machine(#[from] std::io::Error),
    /// The thread that looks is no more, which its own message explains.
    #[error("discovery ended by itself; start it again")]
    Ended,
}

impl WatchError {
    /// What the caller should do next.
    pub fn class(&self) -> ErrorClass {
        match self {
            WatchError::Machine(_) => ErrorClass::Retry,
            WatchError::Ended => ErrorClass::Bug,
        }
    }
}

/// A running discovery. Dropped, it ends its threads.
#[derive(Debug)]
#[must_use]
pub struct Watch {
    updates: Receiver<Update>,
    signals: Arc<Signals>,
    /// Ends after the thread that it wakes.
    _mount_table: MountTable,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts to look.
    pub fn start(settings: Settings, outside: Outside) -> Result<Watch, WatchError> {
        let (signals, due) = Signals::new(outside);
        let mount_table = MountTable::watch(signals.clone())?;
        // No room in the channel: an update is made when somebody takes it, from what is true then.
        let (told, updates) = bounded(0);
        let looking = Looking::new(settings, signals.clone());
        let thread = std::thread::Builder::new().name("discovery".into()).spawn(move || looking.run(&due, &told))?;
        Ok(Watch { updates, signals, _mount_table: mount_table, thread: Some(thread) })
    }

    /// The next update; none within `patience`: nothing changed.
    pub fn next(&self, patience: Duration) -> Result<Option<Update>, WatchError> {
        match self.updates.recv_timeout(patience) {
            Ok(update) => Ok(Some(update)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(WatchError::Ended),
        }
    }

    /// Where the updates come from, for a listener that waits for other things too. Disconnected means [`WatchError::Ended`], unless the watch was dropped.
    pub fn updates(&self) -> &Receiver<Update> {
        &self.updates
    }

    /// Replaces what comes from outside.
    pub fn set_outside(&self, outside: Outside) {
        self.signals.set_outside(outside);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.signals.end();
        if let Some(thread) = self.thread.take() {
            // It panicked: whoever hears of it has seen the message already.
            let _ = thread.join();
        }
    }
}

/// The thread that looks.
struct Looking {
    settings: Settings,
    signals: Arc<Signals>,
    directories: Directories,
    /// What is true, as of the last listing.
    latest: Arc<Snapshot>,
    /// What the listener knows.
    told: Option<Arc<Snapshot>>,
}

impl Looking {
    fn new(settings: Settings, signals: Arc<Signals>) -> Looking {
        let directories = Directories::new(signals.clone());
        Looking { settings, signals, directories, latest: Arc::default(), told: None }
    }

    fn run(mut self, due: &Receiver<()>, told: &Sender<Update>) {
        let interval = tick(self.settings.reconcile);
        let (nobody, _stays_open) = bounded(0);
        let mut soon = self.look();
        while !self.signals.ended() {
            let news = self.told.as_ref() != Some(&self.latest);
            let listener = if news { told } else { &nobody };
            select! {
                send(listener, self.update()) -> taken => match taken {
                    Ok(()) => self.told = Some(self.latest.clone()),
                    Err(_) => return,
                },
                recv(due) -> _ => soon = soon.or_else(|| Some(after(self.settings.debounce))),
                recv(soon.as_ref().unwrap_or(&never())) -> _ => soon = self.look(),
                recv(interval) -> _ => soon = self.look(),
            }
        }
    }

    fn update(&self) -> Update {
        match &self.told {
            None => Update::Snapshot((*self.latest).clone()),
            Some(told) => Update::Delta(diff(told, &self.latest)),
        }
    }

    /// Looks at the tree and at the mount table; the answer is when to look again, if it is known already.
    fn look(&mut self) -> Option<Receiver<std::time::Instant>> {
        let listing = list(&self.settings.root, &self.settings.limits);
        let watching = self.directories.follow(&listing);
        let mut now = state_of(&listing, &self.signals.outside());
        keep_missed(&mut now, &self.latest, &listing.missed);
        now.problems.extend(self.directories.problem(&listing.root));
        if now != *self.latest {
            self.latest = Arc::new(now);
        }
        // What changed between the listing and the watch was told by nobody.
        (watching == directories::Followed::More).then(|| after(self.settings.debounce))
    }
}

/// One look, without a watch.
pub fn look_once(root: &Path, limits: &Limits, outside: &Outside) -> Snapshot {
    state_of(&list(root, limits), outside)
}

fn state_of(listing: &Listing, outside: &Outside) -> Snapshot {
    // The table after the tree: a volume that is just being mounted is there already when its directory is seen.
    match Mounts::read() {
        Ok(mounts) => snapshot(listing, Some(&mounts), outside),
        Err(problem) => {
            let mut unknown = snapshot(listing, None, outside);
            unknown.problems.insert(problem);
            unknown
        }
    }
}

#[cfg(test)]
mod tests;
