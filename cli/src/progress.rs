//! Progress: how far long work is, on standard error.
//!
//! In: a function that says it in a line. Out: a spinner on a terminal, a line now and then elsewhere. Never: touches the work, or standard output.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::output::Output;

/// Smooth enough for eyes.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(100);
/// Rare enough for a log file.
const PLAIN_INTERVAL: Duration = Duration::from_secs(15);

/// Runs `work` while `line` tells how far it is.
pub(crate) fn shown<T>(output: &Output, line: impl Fn() -> String + Sync, work: impl FnOnce() -> T) -> T {
    let Some(bars) = output.bars() else { return work() };
    // Dropping `end` ends the thread, also when the work panics.
    let (end, ended) = mpsc::channel::<()>();
    let line = &line;
    std::thread::scope(|scope| {
        let _end = end;
        if io::stderr().is_terminal() {
            scope.spawn(move || draw(bars, line, ended));
        } else {
            scope.spawn(move || tell(output, line, ended));
        }
        work()
    })
}

fn draw(bars: &MultiProgress, line: &dyn Fn() -> String, ended: mpsc::Receiver<()>) {
    let bar = bars.add(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise} {wide_msg}") {
        bar.set_style(style);
    }
    while ended.recv_timeout(TERMINAL_INTERVAL) == Err(RecvTimeoutError::Timeout) {
        bar.set_message(line());
        bar.tick();
    }
    bar.finish_and_clear();
    bars.remove(&bar);
}

fn tell(output: &Output, line: &dyn Fn() -> String, ended: mpsc::Receiver<()>) {
    while ended.recv_timeout(PLAIN_INTERVAL) == Err(RecvTimeoutError::Timeout) {
        output.note(&line());
    }
}
