//! Worker: one volume is read by one process, which can hang, be killed and run out of memory without anybody else noticing.
//!
//! In: jobs. Out: what became of each. Never: a call into a volume from the supervising process; whatever blocks, blocks the worker.
//!
//! 1. [`job`]: what goes through the pipes. 2. [`supervise`]: two workers at a time are started, watched and ended. 3. [`run`]: inside the worker, from a job to its end.
//! 4. `watched`: the volume as it reads it: [`inflight`] knows which calls have not come back, [`manners`] how much of the node it may take.

pub mod inflight;
pub mod job;
pub mod manners;
pub mod run;
pub mod supervise;
mod watched;
