//! What happens to runs whose process has died: another process takes them over, and continues or ends them. Processes
//! find each other by leases and by locks.

mod charge;
mod close_run;
mod continue_run;
mod kept_output;
mod lease_renewal;
mod presence;
mod projection;
mod reconstruct;
#[cfg(test)]
mod recorded_run;
mod stored_calls;
mod takeover;
mod thread_poll;
mod verdict;

pub(crate) use lease_renewal::renew_leases;
pub(crate) use presence::{hold_presence, recover_runs_of_gone_processes};
pub(crate) use takeover::{recover_all_open_runs, recover_dead_runs, recover_lost_runs};
pub(crate) use thread_poll::poll_threads;
