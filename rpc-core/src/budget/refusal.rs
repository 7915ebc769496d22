//! The errors for what a budget does not allow.

use super::Budgets;
use crate::error::Error;
use crate::store::{Limit, StoreError};
use chrono::{DateTime, Utc};
use threadline_engine::EngineError;
use threadline_schema::error::next_day;
use threadline_schema::{ErrorCode, RpcError};

impl Budgets {
    /// Returns the error for a run that could not start.
    pub(crate) fn explain(&self, error: EngineError) -> Error {
        match error {
            EngineError::Store(StoreError::LimitReached(Limit::DailyBudget)) => self.exceeded(),
            EngineError::Store(StoreError::LimitReached(Limit::SharedBudget)) => self.shared_exceeded(),
            error => error.into(),
        }
    }

    /// Returns the error for a thread that could not be created.
    pub(crate) fn explain_new_thread(&self, error: EngineError, max_threads: Option<u32>) -> Error {
        match error {
            EngineError::Store(StoreError::LimitReached(Limit::Threads)) => {
                let limit = max_threads.unwrap_or_default();
                let message = format!("Maximum {limit} sessions allowed. Please delete an old session.");
                Error::new(ErrorCode::SessionLimit, message)
            }
            error => self.explain(error),
        }
    }

    fn exceeded(&self) -> Error {
        metrics::counter!("threadline_over_budget_total").increment(1);
        self.refusal("Your budget for today is used up, or held by answers that are being written.")
    }

    fn shared_exceeded(&self) -> Error {
        metrics::counter!("threadline_over_shared_budget_total").increment(1);
        self.refusal("The service has used up its budget for today.")
    }

    fn refusal(&self, why: &str) -> Error {
        let message = format!("{why} The next day begins at {}.", self.resets_at().format("%Y-%m-%dT%H:%M:%SZ"));
        RpcError::new(ErrorCode::BudgetExceeded, message).until_tomorrow(self.clock.now().utc()).into()
    }

    /// Returns the end of today's budgets: the next midnight in UTC.
    pub(super) fn resets_at(&self) -> DateTime<Utc> {
        next_day(self.clock.now().utc())
    }
}
