//! S3 servers: versitygw for every run, MinIO for the long one.
//!
//! In: their binaries. Out: a server with one empty bucket, its URL, and the environment that a client needs. Never: a server that
//! anybody outside this machine can reach.

use std::path::PathBuf;
use std::process::Command;

use crate::folder::Folder;
use crate::server::{Server, tool, tool_of_all};

/// The bucket that every server has.
pub const BUCKET: &str = "holdfast-test";
const KEY_ID: &str = "holdfasttest";
const SECRET: &str = "not-a-secret-of-anybody";

/// versitygw over a folder.
#[derive(Debug)]
pub struct Versitygw {
    server: Option<Server>,
    binary: PathBuf,
    endpoint: String,
    // Declared after the server: fields are dropped in this order, and the server writes into the folder.
    folder: Folder,
}

impl Versitygw {
    /// A running server, or None (and the word SKIP) where this machine has none.
    pub fn start() -> Option<Versitygw> {
        let binary = tool("VERSITYGW")?;
        let folder = Folder::new("versitygw");
        let bucket = folder.path().join("data").join(BUCKET);
        std::fs::create_dir_all(&bucket).unwrap_or_else(|error| panic!("cannot make {}: {error}", bucket.display()));
        let server = Server::start(&folder.path().join("log"), |address| versitygw(&binary, &folder, address));
        let endpoint = format!("http://{}", server.address());
        Some(Versitygw { server: Some(server), binary, endpoint, folder })
    }

    /// The folder that holds the bucket's objects as files.
    pub fn bucket_folder(&self) -> PathBuf {
        self.folder.path().join("data").join(BUCKET)
    }

    /// The URL of `prefix` in the bucket.
    pub fn url(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// What a client needs in its environment.
    pub fn environment(&self) -> Vec<(String, String)> {
        environment(&self.endpoint)
    }

    /// Ends the server; its objects stay.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Starts it again, at the same address.
    ///
    /// # Panics
    /// When it does not start, for example because somebody else has the port now.
    pub fn restart(&mut self) {
        self.stop();
        let address = self.endpoint.trim_start_matches("http://").parse().expect("it was made from an address");
        let command = versitygw(&self.binary, &self.folder, address);
        let server = Server::try_start(address, &self.folder.path().join("log"), command);
        self.server = Some(server.unwrap_or_else(|| panic!("versitygw does not start again at {address}")));
    }
}

fn versitygw(binary: &PathBuf, folder: &Folder, address: std::net::SocketAddr) -> Command {
    let mut command = Command::new(binary);
    command.args([
        "--port",
        &address.to_string(),
        "--access",
        KEY_ID,
        "--secret",
        SECRET,
        "--keep-alive",
        "--quiet",
        "posix",
    ]);
    command.arg(folder.path().join("data"));
    command.current_dir(folder.path());
    command
}

/// MinIO over a folder.
#[derive(Debug)]
pub struct Minio {
    server: Server,
    #[expect(dead_code, reason = "removed when dropped, after the server")]
    folder: Folder,
}

impl Minio {
    /// A running server, or None (and the word SKIP) where it was not asked for.
    pub fn start() -> Option<Minio> {
        let binary = tool_of_all("MINIO")?;
        let folder = Folder::new("minio");
        let bucket = folder.path().join("data").join(BUCKET);
        std::fs::create_dir_all(&bucket).unwrap_or_else(|error| panic!("cannot make {}: {error}", bucket.display()));
        let server = Server::start(&folder.path().join("log"), |address| {
            let mut command = Command::new(&binary);
            command.args(["server", "--quiet", "--address", &address.to_string()]).arg(folder.path().join("data"));
            command.current_dir(folder.path()).env("HOME", folder.path());
            command.env("MINIO_ROOT_USER", KEY_ID).env("MINIO_ROOT_PASSWORD", SECRET).env("MINIO_BROWSER", "off");
            command
        });
        Some(Minio { server, folder })
    }

    /// The URL of `prefix` in the bucket.
    pub fn url(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// What a client needs in its environment.
    pub fn environment(&self) -> Vec<(String, String)> {
        environment(&format!("http://{}", self.server.address()))
    }
}

fn environment(endpoint: &str) -> Vec<(String, String)> {
    let pairs = [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}
