//! Keeping processes alive: what a service manager does, for `skep up` and for a sandbox.
//!
//! The decisions are in [`machine`], without I/O; [`runner`] carries them out; [`process`] names a process so that a
//! reused pid is never mistaken for it.

pub(crate) mod machine;
pub(crate) mod process;
pub(crate) mod runner;

pub(crate) use process::ProcessId;
pub(crate) use runner::{Output, Report, Supervised, Supervisor, Unit};
