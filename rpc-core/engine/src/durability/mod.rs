//! Events in the database: written by the journal, read back as a replay or as a mirror.

mod journal;
mod mirror;
mod replay;
mod segments;

pub(crate) use journal::run_journal;
pub(crate) use mirror::{mirror_log, mirror_run};
pub(crate) use replay::{Replay, resync_events};
