//! A run from its start to its end.

mod cancel;
mod disconnect;
mod execute;
mod finish;
mod start;
mod state;

pub(crate) use cancel::{apply_cancel_request, apply_cancel_requests, cancel_run, stop_local_run, stop_run_in_thread};
pub(crate) use disconnect::cancel_on_disconnect;
pub use execute::count_tokens;
pub(crate) use execute::{RunTask, spawn_run};
pub use start::{NewThreadInput, ResumeInput, RunRequest, StartPermit, StartedRun, UserMessageInput};
pub(crate) use start::{create_thread, find_replay, find_started, resume, start_with_message};
pub(crate) use state::{RunTooLong, status_after_owner_died};
