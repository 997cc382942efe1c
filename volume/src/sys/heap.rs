//! The C library's heap: one for all threads.

/// Lets all threads of this process share one heap; call it first thing in `main`.
///
/// Otherwise glibc gives each thread a heap of its own, and each keeps the 32 MiB of the largest pack that passed through it: a restore that needs 110 MiB has taken
/// 206. What is allocated often is small and served by glibc's caches per thread, so nobody waits. With another C library this does nothing.
pub fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes two numbers, and is called before there is a second thread. A refusal (0) changes nothing.
    let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}
