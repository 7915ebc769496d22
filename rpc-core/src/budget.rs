//! What users may use per day, and what a run reserves of it.

use crate::agent::ResolvedAgent;
use crate::config::BudgetConfig;
use crate::error::Error;
use crate::store::rows::UsageRow;
use crate::store::{Clock, Limit, StoreError, day_of};
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use std::sync::Arc;
use threadline_engine::{EngineError, ModelPrices, cost_micros};
use threadline_schema::runs::Usage;
use threadline_schema::usage::{Allowance, Budget};
use threadline_schema::{ErrorCode, RpcError};
use threadline_store::Reservation;

/// The budgets of users.
pub(crate) struct Budgets {
    config: BudgetConfig,
    clock: Arc<Clock>,
    /// The model of agents that name none.
    default_model: String,
}

impl Budgets {
    pub(crate) fn new(config: BudgetConfig, clock: Arc<Clock>, default_model: &str) -> Self {
        Self { config, clock, default_model: default_model.to_owned() }
    }

    /// Returns what a run reserves of its user's budget before it starts; `None` without a budget. `agent` must be known
    /// if the budget is in money.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the budget is in money and a model of the agent has no price.
    pub(crate) fn reservation(&self, agent: Option<&ResolvedAgent>) -> Result<Option<Reservation>, Error> {
        if !self.has_limits() {
            return Ok(None);
        }
        let (limit_tokens, limit_micros) = (to_limit(self.config.tokens), to_limit(self.config.cost_micros));
        let micros = match self.config.cost_micros {
            None => 0,
            Some(_) => {
                let price = self.highest_price(agent)?;
                let prices = ModelPrices { input_per_million: price, output_per_million: 0.0 };
                cost_micros(prices, Usage { prompt_tokens: self.config.hold_tokens, completion_tokens: 0 })
            }
        };
        // A run cannot reserve more than the whole budget.
        let tokens = to_signed(self.config.hold_tokens).min(limit_tokens);
        Ok(Some(Reservation { tokens, micros: micros.min(limit_micros), limit_tokens, limit_micros }))
    }

    /// Returns the highest price per million tokens that a run may pay: it is not known yet how many tokens it reads and
    /// writes, and with which of its models.
    fn highest_price(&self, agent: Option<&ResolvedAgent>) -> Result<f64, Error> {
        let agent = agent.ok_or_else(|| Error::internal("a run with a budget in money has no agent"))?;
        let mut highest: f64 = 0.0;
        for model in &*agent.models {
            let model = model.as_deref().unwrap_or(&self.default_model);
            let prices = agent.prices_of(model).ok_or_else(|| no_price(model))?;
            highest = highest.max(prices.input_per_million).max(prices.output_per_million);
        }
        // The title of a first message is paid from the reservation of its run.
        if let Some(prices) = agent.agent.title_model.as_deref().and_then(|model| agent.prices_of(model)) {
            highest = highest.max(prices.input_per_million).max(prices.output_per_million);
        }
        Ok(highest)
    }

    /// Returns whether users have a budget in money.
    pub(crate) fn limits_cost(&self) -> bool {
        self.config.cost_micros.is_some()
    }

    /// Returns whether users have a budget.
    pub(crate) fn has_limits(&self) -> bool {
        self.config.tokens.is_some() || self.config.cost_micros.is_some()
    }

    /// Returns what is left of a user's budget today.
    pub(crate) fn status(&self, today: &UsageRow) -> Budget {
        let allowance = |limit: u64, used: i64, held: i64| {
            let (used, held) = (to_unsigned(used), to_unsigned(held));
            Allowance { limit, used, held, left: limit.saturating_sub(used).saturating_sub(held) }
        };
        let tokens = self.config.tokens.map(|limit| {
            allowance(limit, today.prompt_tokens.saturating_add(today.completion_tokens), today.held_tokens)
        });
        let cost_micros = self.config.cost_micros.map(|limit| allowance(limit, today.cost_micros, today.held_micros));
        Budget { tokens, cost_micros, resets_at: self.resets_at() }
    }

    /// Returns today, in days since 1970-01-01 UTC.
    pub(crate) fn today(&self) -> i64 {
        day_of(self.clock.now())
    }

    /// Explains why a run could not start.
    pub(crate) fn explain(&self, error: EngineError) -> Error {
        match error {
            EngineError::Store(StoreError::LimitReached(Limit::DailyBudget)) => self.exceeded(),
            error => error.into(),
        }
    }

    /// Explains why a thread could not be created.
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
        let resets_at = self.resets_at();
        let seconds = (resets_at - self.clock.now().utc()).num_seconds().max(0) + 1;
        let message = format!(
            "What you may use in a day is used up, or held by answers that are being written. The next day begins at {}.",
            resets_at.format("%Y-%m-%dT%H:%M:%SZ")
        );
        RpcError::new(ErrorCode::BudgetExceeded, message)
            .with("retry_after", seconds)
            .with("resets_at", resets_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
            .into()
    }

    fn resets_at(&self) -> DateTime<Utc> {
        let tomorrow = self.clock.now().utc() + TimeDelta::days(1);
        tomorrow.date_naive().and_time(NaiveTime::MIN).and_utc()
    }
}

fn no_price(model: &str) -> Error {
    Error::unavailable("The model has no price, so your budget cannot be kept. Its operator has to add one.")
        .because(format!("a budget in money is set, and the model {model:?} has no price in the agents file"))
}

/// Returns a limit as the database compares it.
fn to_limit(limit: Option<u64>) -> i64 {
    limit.map_or(i64::MAX, to_signed)
}

fn to_signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn to_unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
