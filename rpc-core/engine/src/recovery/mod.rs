//! Leases, and what happens to runs whose process died.

mod charge;
mod lease_renewal;
mod maintenance;
mod presence;
mod projection;
mod reaper;
mod reconstruct;
mod thread_poll;

pub(crate) use lease_renewal::renew_leases;
pub(crate) use maintenance::{archive_idle_threads, remove_expired_logs};
pub(crate) use presence::{close_runs_of_gone_processes, hold_presence};
pub(crate) use reaper::{close_all_open_runs, close_dead_runs, close_lost_runs};
pub(crate) use thread_poll::poll_threads;
