//! What a process gives up: priority and capabilities.

use nix::errno::Errno;

use super::checked;

/// linux/capability.h.
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;
/// linux/ioprio.h: the idle class, this process.
const IOPRIO_IDLE: libc::c_int = 3 << 13;
const IOPRIO_WHO_PROCESS: libc::c_int = 1;

/// Every thread that is started from now on runs when nobody else wants the processor or the disk.
pub(crate) fn become_idle() -> Result<(), Errno> {
    // SAFETY: sched_param is plain numbers; all zeros is a value of it.
    let parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: `parameters` lives through the call.
    Errno::result(unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) })?;
    // SAFETY: numbers only.
    checked(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_IDLE) })?;
    Ok(())
}

#[repr(C)]
struct Header {
    version: u32,
    process: libc::c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The capabilities that this thread has now, as a bit for each number.
pub(crate) fn capabilities() -> Result<u64, Errno> {
    let mut header = Header { version: CAPABILITY_VERSION_3, process: 0 };
    let mut sets = [Sets::default(); 2];
    // SAFETY: both structures are those of version 3 and live through the call.
    checked(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) })?;
    Ok(u64::from(sets[0].effective) | u64::from(sets[1].effective) << 32)
}

/// Keeps only these capabilities, for good: also what this process executes gets no others. Called before there is a second thread.
pub(crate) fn keep_capabilities(wanted: u64) -> Result<(), Errno> {
    let kept = capabilities()? & wanted;
    for capability in (0..64).filter(|capability| kept & (1 << capability) == 0) {
        // SAFETY: numbers only. A number that the kernel does not know is refused, which is as good.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
    }
    // SAFETY: numbers only.
    Errno::result(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) })?;
    let half = |bits: u64| Sets { effective: bits as u32, permitted: bits as u32, inheritable: 0 };
    let mut header = Header { version: CAPABILITY_VERSION_3, process: 0 };
    let sets = [half(kept), half(kept >> 32)];
    // SAFETY: both structures are those of version 3 and live through the call.
    checked(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr()) })?;
    Ok(())
}
