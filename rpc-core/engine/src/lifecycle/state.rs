//! The state machine of a run.
//!
//! ```text
//!            message and run committed
//!                      |
//!                      v      answered
//!   (queued) ---->  running  ----------------->  completed
//!                      | \---- error, too long -> failed
//!                      | \---- cancelled ------->  cancelled
//!                      | \---- shutdown -------->  interrupted
//!                      |
//!                      |  owner dies: taken over, epoch + 1
//!                      | \---- safe to continue -->  running
//!                      | \---- cancel requested ->  cancelled
//!                      | \---- too long --------->  failed
//!                       \----- otherwise -------->  interrupted
//! ```
//!
//! A run ends once: the transaction that writes a final status is conditional on the run being active, and on the epoch
//! of its writer. All status changes are decided here.

use crate::driver::DriverError;
use crate::hub::StopReason;
use threadline_schema::ErrorCode;
use threadline_schema::error::{Chain, Failure};
use threadline_schema::runs::RunStatus;

/// What the user reads when a run took longer than allowed.
const TOO_LONG: &str = "The answer took too long and was stopped.";
/// What the user reads after a fault of ours.
const INTERNAL: &str = "Something went wrong on the server. Please try again.";

/// How the execution of a run ended.
#[derive(Debug)]
pub(super) enum RunOutcome {
    /// The driver has finished.
    Answered,
    /// The driver reported an error.
    Failed(DriverError),
    /// The driver panicked.
    Panicked,
    /// The run took longer than allowed.
    TimedOut,
    /// The run was stopped from outside.
    Stopped(StopReason),
}

impl RunOutcome {
    /// Returns the final status of the run.
    pub(super) fn status(&self) -> RunStatus {
        match self {
            Self::Answered => RunStatus::Completed,
            Self::Failed(_) | Self::Panicked | Self::TimedOut => RunStatus::Failed,
            Self::Stopped(StopReason::Cancelled) => RunStatus::Cancelled,
            Self::Stopped(StopReason::Interrupted | StopReason::Superseded) => RunStatus::Interrupted,
        }
    }

    /// Returns whether the driver has ended by itself, so that it is known how its answer ended.
    pub(super) fn is_driver_done(&self) -> bool {
        matches!(self, Self::Answered | Self::Failed(_))
    }

    /// Returns the failure that the user sees.
    pub(super) fn failure(&self) -> Option<Failure> {
        match self {
            Self::Answered | Self::Stopped(_) => None,
            Self::Failed(error) => Some(error.failure.clone()),
            Self::Panicked => Some(Failure { code: ErrorCode::InternalError, message: INTERNAL.to_owned() }),
            Self::TimedOut => Some(RunTooLong::failure()),
        }
    }

    /// Returns the cause of a failure, for the log.
    pub(super) fn cause(&self) -> Option<String> {
        match self {
            Self::Answered | Self::Stopped(_) => None,
            Self::Failed(error) => Some(Chain(error).to_string()),
            Self::Panicked => Some("the driver panicked".to_owned()),
            Self::TimedOut => Some("the run took longer than it may".to_owned()),
        }
    }
}

/// A run that takes longer than `RUN_MAX_SECONDS`.
pub(crate) struct RunTooLong;

impl RunTooLong {
    /// Returns the failure that the user sees.
    pub(crate) fn failure() -> Failure {
        Failure { code: ErrorCode::UpstreamTimeout, message: TOO_LONG.to_owned() }
    }
}

/// Returns the final status of a run that does not continue after its owner has died.
pub(crate) fn status_after_owner_died(is_cancel_requested: bool) -> RunStatus {
    if is_cancel_requested { RunStatus::Cancelled } else { RunStatus::Interrupted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_final_and_only_failures_have_a_failure() {
        let failed = || {
            let failure = Failure { code: ErrorCode::UpstreamError, message: "no".to_owned() };
            RunOutcome::Failed(DriverError { failure, source: "no".into() })
        };
        for outcome in [
            RunOutcome::Answered,
            failed(),
            RunOutcome::Panicked,
            RunOutcome::TimedOut,
            RunOutcome::Stopped(StopReason::Cancelled),
            RunOutcome::Stopped(StopReason::Interrupted),
            RunOutcome::Stopped(StopReason::Superseded),
        ] {
            assert!(outcome.status().is_final(), "{outcome:?}");
            assert_eq!(outcome.failure().is_some(), outcome.status() == RunStatus::Failed, "{outcome:?}");
        }
        assert!(status_after_owner_died(true).is_final() && status_after_owner_died(false).is_final());
    }
}
