//! Servers of other people as child processes.
//!
//! In: the environment variable that names a binary, and its arguments. Out: a child that listens on a free loopback port. Never: outlives
//! the [`Server`] that started it, or kills by name.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a server may take until it listens; a Node program on a busy machine needs most of it.
const READY: Duration = Duration::from_secs(60);
/// Between two looks at whether it listens.
const LOOK: Duration = Duration::from_millis(20);
/// Somebody else may take the free port before the server does.
const ATTEMPTS: usize = 5;

/// Set to 1 by `cargo xtask test --all`.
const ALL: &str = "HOLDFAST_TEST_ALL";

/// The binary that `HOLDFAST_TOOL_<NAME>` names. Without it the test says SKIP - except in continuous integration, where nothing may be skipped.
///
/// # Panics
/// When `CI` is set and the tool is not there.
pub fn tool(name: &str) -> Option<PathBuf> {
    let variable = format!("HOLDFAST_TOOL_{name}");
    if let Some(path) = std::env::var_os(&variable).filter(|path| !path.is_empty()) {
        return Some(path.into());
    }
    skip(&format!("{variable} is not set; `cargo xtask test` installs the tool and sets it"));
    None
}

/// Says that a test is skipped, and why.
///
/// # Panics
/// When `CI` is set: there nothing may be skipped.
pub fn skip(why: &str) {
    let ci = std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
    assert!(!ci, "in CI nothing is skipped: {why}");
    println!("SKIP {why}");
}

/// The binary of a tool that only `cargo xtask test --all` asks for.
pub fn tool_of_all(name: &str) -> Option<PathBuf> {
    if std::env::var_os(ALL).is_none_or(|value| value.is_empty() || value == "0") {
        println!("SKIP {name}: only `cargo xtask test --all` runs it");
        return None;
    }
    tool(name)
}

/// A running server; dropped, it is killed and waited for.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts `command(address)` with a free port and waits until something listens there. Its output goes to `log`.
    ///
    /// # Panics
    /// When it does not start: without it the test cannot run.
    pub fn start(log: &Path, command: impl Fn(SocketAddr) -> Command) -> Server {
        for _ in 0..ATTEMPTS {
            let address = free_address();
            if let Some(server) = Server::try_start(address, log, command(address)) {
                return server;
            }
        }
        panic!("the server ended {ATTEMPTS} times before it listened; its last words:\n{}", last_words(log));
    }

    /// Starts `command`, which listens at `address`; None when it ends before it does.
    ///
    /// # Panics
    /// When it cannot be run at all, or runs and does not listen.
    pub fn try_start(address: SocketAddr, log: &Path, mut command: Command) -> Option<Server> {
        let output = File::create(log).unwrap_or_else(|error| panic!("cannot write {}: {error}", log.display()));
        let errors = output.try_clone().unwrap_or_else(|error| panic!("cannot write {}: {error}", log.display()));
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {:?}: {error}", command.get_program()));
        let mut server = Server { child, address };
        for _ in 0..READY.as_millis() / LOOK.as_millis() {
            if let Ok(Some(_)) = server.child.try_wait() {
                return None;
            }
            if TcpStream::connect_timeout(&address, LOOK).is_ok() {
                return Some(server);
            }
            std::thread::sleep(LOOK);
        }
        panic!(
            "{:?} does not listen at {address} after {READY:?}; its last words:\n{}",
            command.get_program(),
            last_words(log)
        );
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Killing fails only when it is gone already; waiting takes its entry from the process table either way.
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("the server {} could not be ended: {error}", self.child.id());
        }
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address")
}

fn last_words(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let start = text.len().saturating_sub(2_000);
    String::from_utf8_lossy(&text[start..]).into_owned()
}
