//! Leases, and what happens to runs whose process died: they continue in another, or end.

mod charge;
mod close_run;
mod continue_run;
mod kept_output;
mod lease_renewal;
mod maintenance;
mod presence;
mod projection;
mod reaper;
mod reconstruct;
#[cfg(test)]
mod recorded_run;
mod stored_calls;
mod thread_poll;
mod verdict;

pub(crate) use lease_renewal::renew_leases;
pub(crate) use maintenance::{archive_idle_threads, remove_expired_logs};
pub(crate) use presence::{hold_presence, recover_runs_of_gone_processes};
pub(crate) use reaper::{recover_all_open_runs, recover_dead_runs, recover_lost_runs};
pub(crate) use thread_poll::poll_threads;
