//! Interrupt: a terminal's ^C or a SIGTERM ends demo and bench in order, so that mounts and folders are cleaned up.
//!
//! In: the two signals. Out: an error at the next look. Never: kills anything; the terminal has told our children itself.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on the two signals are only noted. Call it before any thread is started; children get an empty signal mask from the
/// standard library.
pub(crate) fn hold() -> Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block().context("signals could not be blocked")?;
    std::thread::spawn(move || {
        while signals.wait().is_ok() {
            INTERRUPTED.store(true, Ordering::SeqCst);
        }
    });
    Ok(())
}

/// An error once a signal has come.
pub(crate) fn check() -> Result<()> {
    if INTERRUPTED.load(Ordering::SeqCst) {
        bail!("interrupted; everything temporary is removed");
    }
    Ok(())
}
