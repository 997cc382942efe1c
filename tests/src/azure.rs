//! Azurite, Microsoft's emulator of Azure Blob Storage.
//!
//! In: its binary, and the Node that it needs anyway. Out: a server with one empty container. Never: sends telemetry.

use std::net::SocketAddr;
use std::process::Command;

use crate::folder::Folder;
use crate::server::{Server, tool_of_all};

/// The container that the server has.
pub const CONTAINER: &str = "holdfast-test";
const ACCOUNT: &str = "holdfasttest";
const KEY: &str = "bm90LWEtc2VjcmV0LW9mLWFueWJvZHk=";

/// Creates a container: signed as Azure wants it, which is a few lines in a language with an HTTP client and HMAC at hand.
const CREATE_CONTAINER: &str = r#"
const [host, port, account, key, container] = process.argv.slice(1);
const date = new Date().toUTCString(), path = `/${account}/${container}`;
const signed = `PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:${date}\nx-ms-version:2021-08-06\n/${account}${path}\nrestype:container`;
const mac = require('crypto').createHmac('sha256', Buffer.from(key, 'base64')).update(signed, 'utf8').digest('base64');
const headers = { 'x-ms-date': date, 'x-ms-version': '2021-08-06', 'Content-Length': 0, Authorization: `SharedKey ${account}:${mac}` };
const request = require('http').request({ host, port, method: 'PUT', path: `${path}?restype=container`, headers }, (answer) => {
  answer.pipe(process.stderr);
  answer.on('end', () => process.exit(answer.statusCode === 201 ? 0 : 1));
});
request.on('error', (error) => { console.error(error.message); process.exit(1); });
request.end();
"#;

/// A running Azurite.
#[derive(Debug)]
pub struct Azurite {
    server: Server,
    #[expect(dead_code, reason = "removed when dropped, after the server")]
    folder: Folder,
}

impl Azurite {
    /// A running server, or None (and the word SKIP) where it was not asked for.
    ///
    /// # Panics
    /// When its container cannot be created.
    pub fn start() -> Option<Azurite> {
        let binary = tool_of_all("AZURITE")?;
        let folder = Folder::new("azurite");
        let server = Server::start(&folder.path().join("log"), |address| {
            let mut command = Command::new(&binary);
            command.args(["--blobHost", &address.ip().to_string(), "--blobPort", &address.port().to_string()]);
            command.args(["--silent", "--skipApiVersionCheck", "--disableTelemetry", "--location"]).arg(folder.path());
            command.current_dir(folder.path()).env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{KEY}"));
            command
        });
        create_container(server.address());
        Some(Azurite { server, folder })
    }

    /// The URL of `prefix` in the container.
    pub fn url(&self, prefix: &str) -> String {
        format!("az://{CONTAINER}/{prefix}")
    }

    /// What a client needs in its environment.
    pub fn environment(&self) -> Vec<(String, String)> {
        let endpoint = format!("http://{}/{ACCOUNT}", self.server.address());
        let pairs = [
            ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
            ("AZURE_STORAGE_ACCOUNT_KEY", KEY),
            ("AZURE_STORAGE_ENDPOINT", &endpoint),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }
}

fn create_container(address: SocketAddr) {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let output = Command::new("node")
        .args(["-e", CREATE_CONTAINER, &host, &port, ACCOUNT, KEY, CONTAINER])
        .output()
        .expect("Azurite is a Node program, so there is a `node`");
    assert!(output.status.success(), "no container: {}", String::from_utf8_lossy(&output.stderr));
}
