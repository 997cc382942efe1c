//! Plan: from what is known to what has to be read; pure.
//!
//! In: what the parent restore point recorded, what can be seen now, what the caller knows. Out: what may be believed, why everything is read if it is, what is scrubbed.
//! Never: believes on doubt; a wrong doubt costs one reading, a wrong belief costs data.
//!
//! Why so many reasons to doubt: a node that crashes may leave content on the disk that is newer than its stamp (ext4 and xfs, with default options, after fdatasync or
//! direct I/O), and nothing on the disk tells which; a clock that was set makes stamps young or old that are not.

use repository::source::{Belief, Place, ReadPlan, ScrubPlan};
use serde::{Deserialize, Serialize};

use super::identity::{FilesystemIdentity, Session};
use super::scrub::Pace;
use super::trust::Trust;

/// How a volume came from where it was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Handover {
    /// It was unmounted there, and whoever watched saw it.
    Clean,
    /// The node was lost while the volume was mounted, or it was detached by force.
    Unclean,
    /// Nobody knows.
    Unknown,
}

/// What can be seen of a volume now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Milliseconds since 1970-01-01 UTC, by the clock that stamps files.
    pub wall_ms: i64,
    /// How long the machine has been running, sleep included.
    pub uptime_ms: Option<u64>,
    /// Since when it has been mounted.
    pub session: Session,
    /// Which filesystem it is; `None`: of a kind whose stamps are not relied on.
    pub filesystem: Option<FilesystemIdentity>,
}

/// What is known of the kernel's events since the run before. It is recorded and decides nothing: what events name is read whatever its stamp says, and their silence is
/// never believed, because stores through a mapping and writes by io_submit cause none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watching {
    /// Nobody listened.
    #[default]
    Nobody,
    /// Every event that there was has been heard.
    Unbroken,
    /// Some were lost, or the mark was gone for a time.
    Broken,
}

/// What the caller says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// How the volume came here, if somebody watched; `None`: nobody did.
    pub handover: Option<Handover>,
    /// Everything is to be read.
    pub read_all: bool,
    /// Whether the kernel's events were heard.
    pub watching: Watching,
}

/// Why stamps are not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The caller wants it so.
    Requested,
    /// The restore point before says nothing that is understood.
    NoRecord,
    /// The node that had the volume before was lost.
    UncleanHandover,
    /// Nobody knows how it left the node that had it before.
    UnknownHandover,
    /// The run before found something, or did not come to its end.
    Pending(String),
    /// Another filesystem, or another directory of it.
    AnotherFilesystem,
    /// It has grown or shrunk.
    Resized,
    /// The machine was started anew, and nobody says that it had been shut down properly.
    Restarted,
    /// It was unmounted and mounted again, and nobody says where it was in between.
    Remounted,
    /// The clock that stamps files was set, by so many seconds.
    ClockSet(i64),
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Doubt::Requested => f.write_str("it was asked for"),
            Doubt::NoRecord => f.write_str("the restore point before does not say what may be relied on"),
            Doubt::UncleanHandover => {
                f.write_str("the volume was not unmounted where it was before: content may be newer than its stamp")
            }
            Doubt::UnknownHandover => f.write_str("nobody knows whether the volume was unmounted where it was before"),
            Doubt::Pending(why) => f.write_str(why),
            Doubt::AnotherFilesystem => f.write_str(
                "this is not the filesystem, or not the directory or file in it, of the restore point before",
            ),
            Doubt::Resized => f.write_str("the filesystem was resized"),
            Doubt::Restarted => {
                f.write_str("the machine was started anew since, and nobody says that the volume had been unmounted")
            }
            Doubt::Remounted => {
                f.write_str("the volume was mounted anew since, and nobody says where it was in between")
            }
            Doubt::ClockSet(seconds) => write!(f, "the clock was set by {seconds} s since"),
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// For the engine.
    pub read: ReadPlan,
    /// Why stamps are not believed.
    pub doubt: Option<Doubt>,
    /// Stamps are judged as if the run had started so many seconds earlier: what was written just before the clock was set may look old.
    pub settle_earlier_seconds: i64,
}

/// A clock may be steered by so much without having been set: 2 s, and a thousandth of the time that has passed.
const STEERED_MS: i64 = 2000;
const STEERED_SHARE: i64 = 1000;

/// Decides.
pub fn plan(recorded: Option<&Trust>, now: &Known, asked: &Asked, pace: &Pace) -> Plan {
    let doubt = doubt(recorded, now, asked);
    let settle_earlier_seconds = match doubt {
        Some(Doubt::ClockSet(seconds)) => seconds.max(0),
        _ => 0,
    };
    let belief = match doubt {
        None => Belief::Stamps,
        Some(Doubt::AnotherFilesystem) => Belief::Names,
        Some(_) => Belief::Handles,
    };
    let scrub = match (recorded, &doubt) {
        (Some(recorded), None) => recorded.scrub.plan(pace, now.wall_ms),
        // Everything is read anyway.
        _ => ScrubPlan { from: Place::START, until: Place::START, again_until: Place::START, bytes: 0 },
    };
    let full_pass = doubt.as_ref().map(Doubt::to_string);
    Plan { read: ReadPlan { belief, full_pass, scrub }, doubt, settle_earlier_seconds }
}

fn doubt(recorded: Option<&Trust>, now: &Known, asked: &Asked) -> Option<Doubt> {
    let Some(recorded) = recorded else { return Some(Doubt::NoRecord) };
    if recorded.filesystem.is_none() && now.filesystem.is_none() {
        // Nothing is ever settled there.
        return asked.read_all.then_some(Doubt::Requested);
    }
    // First what also says that handles mean nothing.
    match (&recorded.filesystem, &now.filesystem) {
        (Some(before), Some(now)) if (&before.kind, &before.id, &before.root) != (&now.kind, &now.id, &now.root) => {
            return Some(Doubt::AnotherFilesystem);
        }
        (Some(before), Some(now)) if before.bytes != now.bytes => return Some(Doubt::Resized),
        (Some(_), None) | (None, Some(_)) => return Some(Doubt::AnotherFilesystem),
        _ => {}
    }
    match asked.handover {
        _ if asked.read_all => return Some(Doubt::Requested),
        Some(Handover::Unclean) => return Some(Doubt::UncleanHandover),
        Some(Handover::Unknown) => return Some(Doubt::UnknownHandover),
        Some(Handover::Clean) | None => {}
    }
    if let Some(why) = &recorded.doubt {
        return Some(Doubt::Pending(why.clone()));
    }
    if asked.handover.is_none() {
        if now.session.boot != recorded.session.boot || now.session.boot.is_empty() {
            return Some(Doubt::Restarted);
        }
        if !is_same_mount(&recorded.session, &now.session) {
            return Some(Doubt::Remounted);
        }
    }
    clock_set(recorded, now).map(Doubt::ClockSet)
}

/// Within one start of the machine.
fn is_same_mount(before: &Session, now: &Session) -> bool {
    match (before.superblock, now.superblock) {
        (Some(before), Some(now)) => before == now,
        _ => before.mount == now.mount,
    }
}

/// By how many seconds the clock was set, as far as it shows.
fn clock_set(recorded: &Trust, now: &Known) -> Option<i64> {
    let passed = now.wall_ms.saturating_sub(recorded.wall_ms);
    let same_boot = !now.session.boot.is_empty() && now.session.boot == recorded.session.boot;
    let uptimes = recorded.uptime_ms.zip(now.uptime_ms).filter(|_| same_boot);
    let (step, tolerance) = match uptimes {
        Some((before, now)) => {
            let really =
                i64::try_from(now).unwrap_or(i64::MAX).saturating_sub(i64::try_from(before).unwrap_or(i64::MAX));
            (passed.saturating_sub(really), STEERED_MS + really / STEERED_SHARE)
        }
        // On another machine, or after a restart, only a clock that went back shows.
        None => (passed.min(0), STEERED_MS),
    };
    (step.abs() > tolerance).then_some(step / 1000)
}

#[cfg(test)]
mod tests;
