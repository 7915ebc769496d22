//! `usage.*`: what a user's runs have used, and what is left of the user's budget.

use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Params of `usage.get`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UsageGetParams {
    /// First day (UTC), such as `2026-11-01`; 29 days before `until` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<NaiveDate>,
    /// Last day (UTC); today when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<NaiveDate>,
}

/// What was used over some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Used {
    /// Runs that have ended.
    pub runs: u64,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// What they cost, in millionths of the currency in which the operator's prices are.
    pub cost_micros: u64,
    /// Runs that are not in `cost_micros`, since their model has no price.
    pub unpriced_runs: u64,
}

/// What was used on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DayUsage {
    /// The day (UTC).
    pub date: NaiveDate,
    /// What was used.
    #[serde(flatten)]
    pub used: Used,
}

/// A budget of one user for one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Allowance {
    /// What may be used in a day.
    pub limit: u64,
    /// What was used today.
    pub used: u64,
    /// What runs that go on hold until they end.
    pub held: u64,
    /// What a further run may hold.
    pub left: u64,
}

/// What a user may use in a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Budget {
    /// In tokens, read and written; absent when there is no such limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Allowance>,
    /// In millionths of the currency; absent when there is no such limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_micros: Option<Allowance>,
    /// When the next day begins.
    pub resets_at: DateTime<Utc>,
}

/// What a user has used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsageReport {
    /// Days on which something was used, newest first.
    pub days: Vec<DayUsage>,
    /// All of them together.
    pub total: Used,
    /// Today's budget; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
}

impl std::ops::AddAssign for Used {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
        self.cost_micros += other.cost_micros;
        self.unpriced_runs += other.unpriced_runs;
    }
}

crate::methods! {
    /// What your runs have used, day by day, and what is left of today's budget.
    ///
    /// A run counts for the day (UTC) on which it began, once it has ended. Deleting a conversation gives nothing back.
    UsageGet = "usage.get" (User): UsageGetParams => UsageReport;
}
