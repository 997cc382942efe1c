//! Process: one worker, from its start to its end.
//!
//! In: a job. Out: events, and how it ended. Never: a secret in arguments or environment, or a wait for a process that the kernel cannot end.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::{Config, Outcome};
use crate::worker::job::{self, Event, Job};

/// What a worker says in one line: at most 1,000 paths that it could not read.
const LINE_BYTES_MAX: u64 = 16 << 20;
/// A process that was killed ends within this, unless it hangs in the kernel.
const REAP: Duration = Duration::from_secs(5);

/// What the HTTP client asks the environment for.
const PROXIES: [&str; 6] = ["HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy"];

/// A worker that runs.
pub(super) struct Worker {
    child: Child,
    /// Open as long as the work is wanted.
    wanted: Option<ChildStdin>,
    events: Receiver<Event>,
}

impl Worker {
    /// Starts a process and gives it its job.
    pub(super) fn start(config: &Config, job: &Job, grant: &[u8]) -> io::Result<Worker> {
        let mut child = Command::new(&config.program)
            .args(&config.arguments)
            .env_clear()
            .envs(PROXIES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let Some((mut wanted, out)) = pipes else { return Err(io::Error::other("it has no pipes")) };
        let (send, events) = crossbeam_channel::bounded(16);
        std::thread::spawn(move || read_events(out, &send));
        let worker = Worker { child, wanted: None, events };
        match job::send(&mut wanted, job, grant) {
            Ok(()) => Ok(Worker { wanted: Some(wanted), ..worker }),
            Err(error) => {
                worker.kill();
                Err(error)
            }
        }
    }

    /// Follows it to its end.
    pub(super) fn watch(mut self, config: &Config, job: &Job, stop: &Receiver<()>, tell: &dyn Fn(Event)) -> Outcome {
        let beat = Duration::from_millis(job.beat_ms);
        let mut stop = stop.clone();
        let mut deadline = crossbeam_channel::never();
        loop {
            let event = crossbeam_channel::select! {
                recv(self.events) -> event => event,
                recv(stop) -> _ => {
                    // It is asked once, and has its time.
                    self.wanted = None;
                    (stop, deadline) = (crossbeam_channel::never(), crossbeam_channel::after(config.grace));
                    continue;
                }
                recv(deadline) -> _ => {
                    self.kill();
                    return Outcome::Stopped;
                }
                default(config.patience) => {
                    self.kill();
                    return Outcome::Hung { silent: config.patience };
                }
            };
            match event {
                Ok(Event::Beat(beats)) => {
                    let silent = beat.saturating_mul(u32::try_from(beats.stuck_beats).unwrap_or(u32::MAX));
                    if silent >= config.patience {
                        self.kill();
                        return Outcome::Hung { silent };
                    }
                    tell(Event::Beat(beats));
                }
                Ok(Event::Done(done)) => {
                    self.reap();
                    return Outcome::Done(done);
                }
                Ok(Event::Failed(failed)) => {
                    let was_wanted = self.wanted.is_some();
                    self.reap();
                    let stopped = !was_wanted && failed.class == model::ErrorClass::Cancelled;
                    return if stopped { Outcome::Stopped } else { Outcome::Failed(failed) };
                }
                Ok(event) => tell(event),
                // Its standard output has ended without a last word.
                Err(_) => return self.end(),
            }
        }
    }

    fn end(self) -> Outcome {
        match self.reap() {
            Some(status) => Outcome::Died { how: format!("it ended with {status}") },
            None => Outcome::Died { how: "it closed its output and went on".to_owned() },
        }
    }

    fn kill(mut self) {
        // It may have ended by itself meanwhile.
        let _ = self.child.kill();
        self.reap();
    }

    /// Waits for its end, for a while: what hangs in the kernel stays, and costs a thread that does nothing.
    fn reap(self) -> Option<std::process::ExitStatus> {
        let Worker { mut child, wanted, events } = self;
        drop((wanted, events));
        let (send, ended) = crossbeam_channel::bounded(1);
        std::thread::spawn(move || {
            let waited = child.wait();
            let _ = send.send(waited.ok());
        });
        ended.recv_timeout(REAP).unwrap_or_default()
    }
}

/// Until the output ends, or says what is no event.
fn read_events(out: ChildStdout, to: &crossbeam_channel::Sender<Event>) {
    let mut lines = BufReader::new(out);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut lines).take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let Ok(event) = serde_json::from_slice(&line) else { return };
        if to.send(event).is_err() {
            return;
        }
    }
}
