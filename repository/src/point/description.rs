//! What a restore point says to people: sealed JSON, in which unknown members are ignored.

use serde::{Deserialize, Serialize};

/// Which kind of volume it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeKind {
    /// A directory tree.
    Filesystem,
    /// One regular file.
    File,
    /// One block device.
    Block,
}

/// Whether everything was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Everything.
    Complete,
    /// Something is missing or was changing; the Missed rows say what.
    Partial,
}

/// How the source was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consistency {
    /// From a snapshot.
    Snapshot,
    /// While writers were held.
    Frozen,
    /// While writers went on.
    Live,
}

/// The volume, by its names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeIdentity {
    /// The name it is protected under.
    pub name: String,
    /// Its kind.
    pub kind: VolumeKind,
    /// Where it was read, for people.
    pub source: String,
    /// On which machine, for people.
    pub host: String,
}

/// What a run cost. Bytes unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Statistics {
    /// Entries seen.
    pub entries: u64,
    /// Logical size of everything that is protected.
    pub bytes_scanned: u64,
    /// Read from the source.
    pub bytes_read: u64,
    /// Of these, what nothing said had changed: read to prove that it had not.
    pub bytes_scrubbed: u64,
    /// Content that differs from the parent (all non-zero content without one).
    pub bytes_changed: u64,
    /// Of these, what the repository did not have.
    pub bytes_new: u64,
    /// Written again unchanged, so that packs can go.
    pub bytes_moved: u64,
    /// Put into the store, everything included.
    pub bytes_stored: u64,
    /// Of these, everything but content.
    pub bytes_stored_metadata: u64,
    /// Duration in seconds.
    pub seconds: f64,
    /// Requests sent.
    pub requests: Requests,
}

/// Requests to the store, retries included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Requests {
    /// Objects written.
    pub put: u64,
    /// Objects, ranges or sizes read.
    pub get: u64,
    /// Pages of listings.
    pub list: u64,
    /// Objects deleted.
    pub delete: u64,
}

/// How much of a point's packs is needed, as its writer knew: a hint for the next one whether to look closer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpaceHint {
    /// Stored bytes of all packs.
    pub packs_bytes: u64,
    /// Of these, what visible rows and listed tables need.
    pub live_bytes: u64,
    /// The same content, as plaintext.
    pub content_bytes: u64,
    /// Plaintext bytes that rows have hidden since this was counted.
    pub hidden_bytes: u64,
    /// Packs below 4 MiB.
    pub small_packs: u64,
}

/// The sealed description of a restore point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// When, RFC 3339.
    pub time: String,
    /// What.
    pub volume: VolumeIdentity,
    /// The point that this one continued, in hex.
    pub parent: Option<model::SessionId>,
    /// Whether everything was captured.
    pub outcome: Outcome,
    /// Made on the way.
    pub checkpoint: bool,
    /// How the source was read.
    pub consistency: Consistency,
    /// What it cost.
    pub statistics: Statistics,
    /// How many Missed rows the tree has.
    pub missed: u64,
    /// How much of its packs is needed.
    #[serde(default)]
    pub space: Option<SpaceHint>,
    /// What later change tracking may rely on, in the words of whoever reads such volumes; the engine carries it.
    #[serde(default)]
    pub trust: serde_json::Map<String, serde_json::Value>,
    /// Reserved for a signature over the point.
    #[serde(default)]
    pub signature: Option<String>,
}
