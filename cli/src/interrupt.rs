//! Interrupt: `^C` and SIGTERM stop long work in order.
//!
//! In: the two signals. Out: a flag that the work looks at. Never: ends the process at the first signal; at the second it does, at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

/// From now on the first signal sets the flag. Commands that are over in a moment do not call this: they end where they are.
pub(crate) fn listen(runtime: &Handle) -> Result<Arc<AtomicBool>, Failure> {
    let failed = |source| Failure::Machine { what: "listen for signals", source };
    let _inside = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let flag = Arc::new(AtomicBool::new(false));
    let set = flag.clone();
    runtime.spawn(async move {
        loop {
            tokio::select! {
                Some(()) = interrupt.recv() => {}
                Some(()) = terminate.recv() => {}
                else => return,
            }
            if set.swap(true, Ordering::SeqCst) {
                end();
            }
        }
    });
    Ok(flag)
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever asks twice wants no destructor to run; whatever is half done is safe to be left"
)]
fn end() {
    std::process::exit(i32::from(model::ErrorClass::Cancelled.exit_code()));
}
