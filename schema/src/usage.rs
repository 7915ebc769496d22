//! `usage.*`: the tokens and the cost of a user's runs, and the state of the user's budget.

use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Params of `usage.get`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UsageGetParams {
    /// First day (UTC), such as `2026-11-01`. Default: 29 days before `until`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<NaiveDate>,
    /// Last day (UTC). Default: today.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<NaiveDate>,
}

/// Usage over a period of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Used {
    /// Number of runs that have ended.
    pub runs: u64,
    /// Input tokens.
    pub prompt_tokens: u64,
    /// Output tokens.
    pub completion_tokens: u64,
    /// Cost, in millionths of the currency of the configured prices.
    pub cost_micros: u64,
    /// Number of runs that are not part of `cost_micros` because their model has no price.
    pub unpriced_runs: u64,
}

/// Usage on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DayUsage {
    /// The day (UTC).
    pub date: NaiveDate,
    /// The usage.
    #[serde(flatten)]
    pub used: Used,
}

/// State of one budget on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Allowance {
    /// Limit per day.
    pub limit: u64,
    /// Used today.
    pub used: u64,
    /// Reserved by active runs until they end.
    pub held: u64,
    /// Available to another run.
    pub left: u64,
}

/// The budget of a user per day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Budget {
    /// Input and output tokens; absent if they are not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Allowance>,
    /// Cost in millionths of the currency; absent if it is not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_micros: Option<Allowance>,
    /// Name of the budget class that this budget is of; absent for a user without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Time at which the next day begins.
    pub resets_at: DateTime<Utc>,
}

/// The usage of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsageReport {
    /// Days with usage, newest first.
    pub days: Vec<DayUsage>,
    /// Sum of these days.
    pub total: Used,
    /// State of today's budget; absent if there is no budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

impl std::ops::AddAssign for Used {
    fn add_assign(&mut self, other: Self) {
        self.runs = self.runs.saturating_add(other.runs);
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(other.completion_tokens);
        self.cost_micros = self.cost_micros.saturating_add(other.cost_micros);
        self.unpriced_runs = self.unpriced_runs.saturating_add(other.unpriced_runs);
    }
}

crate::methods! {
    /// Get the user's usage per day, and the state of today's budget.
    ///
    /// A run counts when it ends, for the day (UTC) on which it started. Deleting a conversation does not reduce the
    /// usage.
    UsageGet = "usage.get" (User): UsageGetParams => UsageReport;
}
