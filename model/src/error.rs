//! What an error tells its caller to do next.
//!
//! Every error enum of the project has `class()`; retries, exit codes, gRPC codes and metric labels follow from the class alone.

/// The next move after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The same call may succeed when it is sent again later.
    Retry,
    /// Somebody else holds what is needed, or ended this work; start again later.
    Busy,
    /// The caller asked for something that cannot be.
    Invalid,
    /// Credentials or keys do not permit it.
    Denied,
    /// The thing that was named does not exist.
    Missing,
    /// Stored bytes are not what was written.
    Corrupt,
    /// The caller stopped the work.
    Cancelled,
    /// A rule of the program itself was broken.
    Bug,
}

impl ErrorClass {
    /// The process exit code that scripts rely on: 1 failed, 2 usage, 4 busy or aborted, 5 denied or wrong key, 6 not found, 8 integrity.
    /// (0 is success and 3 a partial outcome; neither is an error.)
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorClass::Retry | ErrorClass::Cancelled | ErrorClass::Bug => 1,
            ErrorClass::Invalid => 2,
            ErrorClass::Busy => 4,
            ErrorClass::Denied => 5,
            ErrorClass::Missing => 6,
            ErrorClass::Corrupt => 8,
        }
    }
}

impl std::fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ErrorClass::Retry => "retry",
            ErrorClass::Busy => "busy",
            ErrorClass::Invalid => "invalid",
            ErrorClass::Denied => "denied",
            ErrorClass::Missing => "missing",
            ErrorClass::Corrupt => "corrupt",
            ErrorClass::Cancelled => "cancelled",
            ErrorClass::Bug => "bug",
        })
    }
}
