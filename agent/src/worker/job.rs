//! Job: what a supervisor and its workers say to each other.
//!
//! In: a job, down the worker's standard input: its length, itself as JSON, and the keys in the same way. Out: events, up its standard output, one JSON object per line.
//! Never: a secret anywhere but in that pipe; arguments and environment are readable by others.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use model::ErrorClass;
use repository::point::{Outcome, Statistics};
use repository::write::{NotCaptured, Proof};
use serde::{Deserialize, Serialize};
use volume::Handover;
use zeroize::Zeroizing;

/// A job is a few paths and settings, and up to a million inodes that events named.
const JOB_BYTES_MAX: u32 = 24 << 20;

/// One volume to be backed up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The name under which it is protected.
    pub volume: String,
    /// Where it is: a directory, a regular file or a block device.
    pub path: PathBuf,
    /// True if it is a mount: then a place where nothing is mounted is an error, not an empty volume.
    pub is_mount: bool,
    /// How it came to this node, if anybody knows.
    pub handover: Option<Handover>,
    /// Everything is to be read.
    pub read_all: bool,
    /// What the kernel's events named since the run before.
    pub events: Events,
    /// URL of the repository.
    pub repository: String,
    /// Settings and credentials of its store, by the names of their environment variables.
    pub settings: BTreeMap<String, String>,
    /// This node, for people.
    pub host: String,
    /// Where a journal is kept, so that a killed run goes on where it was.
    pub journals: Option<PathBuf>,
    /// All that the process may take, in bytes.
    pub memory_bytes: u64,
    /// What it may take of the node.
    pub limits: Limits,
    /// A volume with more entries is not taken for one that ends.
    pub entries_max: u64,
    /// How often it shows that it is alive, in milliseconds.
    pub beat_ms: u64,
}

/// What the kernel told of changes while no backup ran: hints, which only add work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Events {
    /// Nobody listened.
    #[default]
    Unheard,
    /// Some were lost; why, for people.
    Broken(String),
    /// All were heard: the inodes that they named, ascending.
    Heard(Vec<u64>),
}

/// What a worker may take of the node; 0: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes read from the volume per second.
    pub read_bytes_per_second: u64,
    /// Reads per second.
    pub reads_per_second: u64,
    /// Bytes sent to the store per second.
    pub send_bytes_per_second: u64,
}

/// What a worker tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// It is confined now.
    Ready {
        /// What of its sandbox this system does not have.
        missing: Vec<String>,
    },
    /// It is alive.
    Beat(Beat),
    /// There is a restore point.
    Done(Box<Done>),
    /// There is none.
    Failed(Failed),
}

/// How far a worker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// Entries seen.
    pub entries: u64,
    /// Logical bytes of them.
    pub bytes_scanned: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// For how many beats the oldest call into the volume has not come back.
    pub stuck_beats: u64,
}

/// A restore point that was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Its id.
    pub point: String,
    /// The one that it continued.
    pub parent: Option<String>,
    /// Whether everything was captured.
    pub outcome: Outcome,
    /// How many things were not.
    pub missed: u64,
    /// The first of them.
    pub not_captured: Vec<NotCaptured>,
    /// How it was decided what to read.
    pub proof: Proof,
    /// What it cost.
    pub statistics: Statistics,
}

/// Why there is no restore point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// What to do next.
    pub class: ErrorClass,
    /// What happened, for people.
    pub why: String,
}

impl Failed {
    /// From a class and a message.
    pub fn new(class: ErrorClass, why: impl std::fmt::Display) -> Failed {
        Failed { class, why: why.to_string() }
    }
}

/// Writes a job and the keys that it needs.
pub fn send(pipe: &mut dyn Write, job: &Job, grant: &[u8]) -> io::Result<()> {
    let job = Zeroizing::new(serde_json::to_vec(job)?);
    for part in [job.as_slice(), grant] {
        let length = u32::try_from(part.len()).ok().filter(|length| *length <= JOB_BYTES_MAX);
        let length = length.ok_or_else(|| io::Error::other("a job is larger than 24 MiB"))?;
        pipe.write_all(&length.to_le_bytes())?;
        pipe.write_all(part)?;
    }
    pipe.flush()
}

/// Reads what [`send`] wrote.
pub fn receive(pipe: &mut dyn Read) -> io::Result<(Job, Zeroizing<Vec<u8>>)> {
    let job = part(pipe)?;
    let grant = part(pipe)?;
    // What the parser says may repeat a credential.
    let job = serde_json::from_slice(&job).map_err(|_| io::Error::other("it is not a job of this version"))?;
    Ok((job, grant))
}

fn part(pipe: &mut dyn Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut length = [0; 4];
    pipe.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > JOB_BYTES_MAX {
        return Err(io::Error::other("a job is larger than 24 MiB"));
    }
    let mut bytes = Zeroizing::new(vec![0; length as usize]);
    pipe.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        Job {
            volume: "pvc".into(),
            path: "/volumes/pvc".into(),
            is_mount: true,
            handover: Some(Handover::Clean),
            read_all: false,
            events: Events::Heard(vec![12, 1 << 60]),
            repository: "s3://bucket".into(),
            settings: BTreeMap::from([("AWS_SECRET_ACCESS_KEY".into(), "secret".into())]),
            host: "node".into(),
            journals: None,
            memory_bytes: 1,
            limits: Limits::default(),
            entries_max: 1,
            beat_ms: 1000,
        }
    }

    #[test]
    fn what_is_sent_arrives() {
        let mut pipe = Vec::new();
        send(&mut pipe, &job(), b"keys").unwrap();
        let (received, keys) = receive(&mut pipe.as_slice()).unwrap();
        assert_eq!((received, keys.as_slice()), (job(), &b"keys"[..]));
    }

    #[test]
    fn what_is_cut_or_no_job_is_refused_without_repeating_it() {
        let mut pipe = Vec::new();
        send(&mut pipe, &job(), b"keys").unwrap();
        for cut in 0..pipe.len() {
            receive(&mut &pipe[..cut]).unwrap_err();
        }
        let at = pipe.windows(6).position(|part| part == b"secret").unwrap();
        pipe[at - 1] = b'x';
        assert!(!receive(&mut pipe.as_slice()).unwrap_err().to_string().contains("secret"));
        receive(&mut [255_u8; 8].as_slice()).unwrap_err();
    }
}
