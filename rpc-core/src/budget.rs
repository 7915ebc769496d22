//! What a run may cost its user, and what it did.

use crate::agents::Answerer;
use crate::config::ModelPrices;
use crate::core::Core;
use crate::error::Error;
use crate::store::rows::UsageRow;
use crate::store::{Hold, day_of};
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use threadline_schema::runs::Usage;
use threadline_schema::usage::{Allowance, Budget};
use threadline_schema::{ErrorCode, RpcError};

impl Core {
    /// What a run has to hold of its user's budget before it begins; `None` where there is no budget. `answerer` must be
    /// known where the budget is one of money.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` where the budget is one of money and nobody knows what one of the models costs.
    pub(crate) fn hold(&self, answerer: Option<&Answerer>) -> Result<Option<Hold>, Error> {
        if !self.has_budget() {
            return Ok(None);
        }
        let config = &self.config.budget;
        let (most_tokens, most_micros) = (most(config.tokens), most(config.cost_micros));
        let micros = match config.cost_micros {
            None => 0,
            Some(_) => micros(config.hold_tokens, self.dearest(answerer)?),
        };
        // More than all of it nobody can hold.
        let tokens = signed(config.hold_tokens).min(most_tokens);
        Ok(Some(Hold { tokens, micros: micros.min(most_micros), most_tokens, most_micros }))
    }

    /// The highest price of a million tokens that a run may have to pay: how many of them will be read and how many
    /// written, and by which of its models, nobody knows yet.
    fn dearest(&self, answerer: Option<&Answerer>) -> Result<f64, Error> {
        let answerer = answerer.ok_or_else(|| Error::internal("a run with a budget of money has no models"))?;
        let mut dearest: f64 = 0.0;
        for model in &*answerer.models {
            let model = model.as_deref().unwrap_or(self.model.name());
            let prices = answerer.prices_of(model).ok_or_else(|| unpriced(model))?;
            dearest = dearest.max(prices.input_per_million).max(prices.output_per_million);
        }
        // The title of a first message is paid for by what its run holds.
        if let Some(prices) = answerer.agent.title_model.as_deref().and_then(|model| answerer.prices_of(model)) {
            dearest = dearest.max(prices.input_per_million).max(prices.output_per_million);
        }
        Ok(dearest)
    }

    /// Whether users may use only so much in a day.
    pub(crate) fn has_budget(&self) -> bool {
        self.config.budget.tokens.is_some() || self.config.budget.cost_micros.is_some()
    }

    /// Where a user stands today.
    pub(crate) fn budget(&self, today: &UsageRow) -> Budget {
        let config = &self.config.budget;
        let allowance = |limit: u64, used: i64, held: i64| {
            let (used, held) = (unsigned(used), unsigned(held));
            Allowance { limit, used, held, left: limit.saturating_sub(used).saturating_sub(held) }
        };
        let tokens = config.tokens.map(|limit| {
            allowance(limit, today.prompt_tokens.saturating_add(today.completion_tokens), today.held_tokens)
        });
        let cost_micros = config.cost_micros.map(|limit| allowance(limit, today.cost_micros, today.held_micros));
        Budget { tokens, cost_micros, resets_at: self.resets_at() }
    }

    /// The error of a user who has used up what a day allows.
    pub(crate) fn over_budget(&self) -> Error {
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

    /// The day that counts now.
    pub(crate) fn today(&self) -> i64 {
        day_of(self.clock.now())
    }

    fn resets_at(&self) -> DateTime<Utc> {
        let tomorrow = self.clock.now().utc() + TimeDelta::days(1);
        tomorrow.date_naive().and_time(NaiveTime::MIN).and_utc()
    }
}

/// What tokens cost, in millionths of the currency.
pub(crate) fn cost(prices: ModelPrices, used: Usage) -> i64 {
    let read = micros(used.prompt_tokens, prices.input_per_million);
    read.saturating_add(micros(used.completion_tokens, prices.output_per_million))
}

/// A price is in units of the currency for a million tokens, which is millionths of it for one. Rounded up: what was used
/// is never free.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "token counts are far below 2^52")]
fn micros(tokens: u64, per_million: f64) -> i64 {
    (tokens as f64 * per_million).ceil() as i64
}

fn unpriced(model: &str) -> Error {
    Error::unavailable("The model has no price, so your budget cannot be kept. Its operator has to add one.", None)
        .because(format!("a budget in money is set, and the model {model:?} has no price in the agents file"))
}

/// A limit as the database compares it.
fn most(limit: Option<u64>) -> i64 {
    limit.map_or(i64::MAX, signed)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
