//! Directories: a signal whenever an entry of a listed directory came or went.
//!
//! In: the directories that the listing read. Out: signals. Never: watches a volume, or anything that was not listed; never relies on being told.
//!
//! `notify` also reports that directories were opened, which the listing itself does, and which any pod can do to the root of its emptyDir: only entries that come and go
//! are signals, or looking would be a reason to look again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{EventKind, ModifyKind};
use notify::{Config, INotifyWatcher, RecursiveMode, Watcher};

use super::signals::{Signals, Watches};
use crate::discovery::listing::Listing;
use crate::discovery::problem::Problem;

/// The watched directories.
pub(super) struct Directories {
    signals: Arc<Signals>,
    watcher: Option<INotifyWatcher>,
    watched: BTreeSet<PathBuf>,
    failure: Option<String>,
}

/// What became of following a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    /// The same directories as before.
    Same,
    /// Some are watched only now: what happened in them since the listing is not known.
    More,
}

impl Directories {
    pub(super) fn new(signals: Arc<Signals>) -> Directories {
        Directories { signals, watcher: None, watched: BTreeSet::new(), failure: None }
    }

    /// Watches what was listed, and nothing else.
    pub(super) fn follow(&mut self, listing: &Listing) -> Followed {
        match self.signals.take_watches() {
            Watches::Lost => self.forget(),
            // The path may stand for another directory by now, which is then watched like any other.
            Watches::Gone(gone) => self.watched.retain(|directory| !gone.contains(directory)),
        }
        self.failure = None;
        let stale: Vec<PathBuf> = self.watched.difference(&listing.directories).cloned().collect();
        for directory in stale {
            self.watched.remove(&directory);
            if let Some(watcher) = &mut self.watcher {
                // It may be gone already.
                let _ = watcher.unwatch(&directory);
            }
        }
        let fresh: Vec<PathBuf> = listing.directories.difference(&self.watched).cloned().collect();
        let mut followed = Followed::Same;
        for directory in fresh {
            match self.watch(&directory) {
                Ok(()) => {
                    self.watched.insert(directory);
                    followed = Followed::More;
                }
                // Removed since it was listed: its parent tells.
                Err(error) if is_missing(&error) => {}
                Err(error) => {
                    self.failure = Some(reason(&error));
                    break;
                }
            }
        }
        followed
    }

    /// Why not all is watched.
    pub(super) fn problem(&self, root: &Path) -> Option<Problem> {
        self.failure.clone().map(|why| Problem::Unwatched { path: root.to_path_buf(), why })
    }

    fn watch(&mut self, directory: &Path) -> notify::Result<()> {
        if self.watcher.is_none() {
            let signals = self.signals.clone();
            let heard = move |event: notify::Result<notify::Event>| hear(&signals, event);
            self.watcher = Some(INotifyWatcher::new(heard, Config::default().with_follow_symlinks(false))?);
        }
        match &mut self.watcher {
            Some(watcher) => watcher.watch(directory, RecursiveMode::NonRecursive),
            None => Ok(()),
        }
    }

    /// All watches are made anew: whatever the old ones still have to say is void.
    fn forget(&mut self) {
        self.watcher = None;
        self.watched.clear();
    }
}

fn hear(signals: &Signals, event: notify::Result<notify::Event>) {
    let Ok(event) = event else { return signals.lost() };
    if event.need_rescan() {
        return signals.lost();
    }
    match event.kind {
        EventKind::Create(_) => signals.changed(),
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
            event.paths.into_iter().for_each(|path| signals.gone(path));
            signals.changed();
        }
        _ => {}
    }
}

fn is_missing(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

/// Without the path: the same limit must be the same problem, whichever directory meets it.
fn reason(error: &notify::Error) -> String {
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => "there may be no more watches".to_owned(),
        notify::ErrorKind::Io(error) => error.kind().to_string(),
        _ => "the directory cannot be watched".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::discovery::snapshot::Outside;
    use crate::testing::Kubelet;

    #[test]
    fn looking_is_no_reason_to_look_again() {
        let kubelet = Kubelet::new();
        let volume = kubelet.volume("u1", "empty-dir", "cache");
        let (signals, due) = Signals::new(Outside::default());
        let mut directories = Directories::new(signals);
        assert_eq!(directories.follow(&kubelet.list()), Followed::More);
        assert_eq!(directories.follow(&kubelet.list()), Followed::Same);
        // What a pod can do in and to its own volume.
        std::fs::write(volume.join("file"), "").unwrap();
        std::fs::read_dir(&volume).unwrap().count();
        std::fs::set_permissions(&volume, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        assert!(due.recv_timeout(Duration::from_millis(300)).is_err(), "a listing, or a pod, was a signal");
        kubelet.volume("u1", "empty-dir", "other");
        due.recv_timeout(Duration::from_secs(30)).expect("a volume that comes is one");
    }

    #[test]
    fn a_directory_that_comes_again_is_watched_again() {
        let kubelet = Kubelet::new();
        kubelet.volume("u1", "empty-dir", "cache");
        let (signals, due) = Signals::new(Outside::default());
        let mut directories = Directories::new(signals.clone());
        directories.follow(&kubelet.list());
        kubelet.remove("pods/u1/volumes");
        kubelet.volume("u1", "empty-dir", "cache");
        // Between two listings the tree looks as if nothing had happened.
        while directories.follow(&kubelet.list()) == Followed::Same {
            due.recv_timeout(Duration::from_secs(30)).expect("the removal was told");
        }
        while due.recv_timeout(Duration::from_millis(200)).is_ok() {
            directories.follow(&kubelet.list());
        }
        kubelet.volume("u1", "empty-dir", "new");
        due.recv_timeout(Duration::from_secs(30)).expect("the new directory is watched");
    }

    #[test]
    fn lost_signals_make_all_watches_anew() {
        let kubelet = Kubelet::new();
        let (signals, due) = Signals::new(Outside::default());
        let mut directories = Directories::new(signals.clone());
        directories.follow(&kubelet.list());
        let overflow = notify::Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        hear(&signals, Ok(overflow));
        assert_eq!(due.try_iter().count(), 1);
        assert_eq!(directories.follow(&kubelet.list()), Followed::More);
        kubelet.make("pods/u1");
        due.recv_timeout(Duration::from_secs(30)).expect("the new watches tell");
    }
}
