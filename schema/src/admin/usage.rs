//! Usage of all users, budgets, and who has nearly used theirs up.

use crate::ids::UserId;
use crate::usage::{Allowance, Used};
use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Params of `admin.usage`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminUsageParams {
    /// First day (UTC), such as `2026-11-01`. Default: 29 days before `until`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<NaiveDate>,
    /// Last day (UTC). Default: today.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<NaiveDate>,
    /// Only usage for this agent. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub agent: Option<String>,
    /// Only usage with this model. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub model: Option<String>,
}

/// Usage of all users on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdminDayUsage {
    /// The day (UTC).
    pub date: NaiveDate,
    /// Number of accounts with usage on this day, also of those that were erased since. Absent if `agent` or `model` is
    /// set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<u64>,
    /// The usage, with that of erased accounts.
    #[serde(flatten)]
    pub used: Used,
}

/// Usage of an agent or of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdminNamedUsage {
    /// Its name. Absent where it is not known: for usage of earlier versions, and of runs whose process has died.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The usage. A run counts for the model that has written its answer.
    #[serde(flatten)]
    pub used: Used,
}

/// Usage of all users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdminUsageReport {
    /// Days with usage, newest first.
    pub days: Vec<AdminDayUsage>,
    /// Sum of these days.
    pub total: Used,
    /// Usage per agent in these days, by name. Not affected by the parameter `agent`.
    pub agents: Vec<AdminNamedUsage>,
    /// Usage per model in these days, by name. Not affected by the parameter `model`.
    pub models: Vec<AdminNamedUsage>,
}

/// Params of `admin.list_top_users`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminTopUsersParams {
    /// A day (UTC) of the calendar month that is asked for. Default: today.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub month_of: Option<NaiveDate>,
    /// Maximum number of users on the page, 1 to 100. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u32>,
    /// Cursor: the `after` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Usage of a user in a calendar month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdminUserUsage {
    /// The user.
    pub user_id: UserId,
    /// Email address, if the account has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Number of runs that have ended.
    pub runs: u64,
    /// Tokens, input and output.
    pub tokens: u64,
    /// Cost, in millionths of the currency of the configured prices.
    pub cost_micros: u64,
    /// Number of runs that are not part of `cost_micros` because their model has no price.
    pub unpriced_runs: u64,
}

/// A budget that several users share, today.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdminSharedBudget {
    /// `all`, `agent:NAME` or `class:NAME`.
    pub scope: String,
    /// Input and output tokens; absent if they are not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Allowance>,
    /// Cost in millionths of the currency; absent if it is not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_micros: Option<Allowance>,
}

/// What one user may use per day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdminUserBudget {
    /// The budget class; absent for users without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Input and output tokens; absent if they are not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Cost in millionths of the currency; absent if it is not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_micros: Option<u64>,
}

/// The budgets of the process that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdminBudgets {
    /// Budgets that users share, with what is used today.
    pub shared: Vec<AdminSharedBudget>,
    /// What one user may use per day, for users without a class and for each class. Empty if no user is limited.
    pub users: Vec<AdminUserBudget>,
    /// Time at which the next day begins.
    pub resets_at: DateTime<Utc>,
}

/// Params of `admin.list_near_budget`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminNearBudgetParams {
    /// The percentage of the budget that is used or held, at least; 1 to 100. Default: 80.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub percent: Option<u32>,
    /// Maximum number of users on the page, 1 to 100. Default: 20. A page can have fewer, and even none, although more
    /// follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u32>,
    /// Cursor: the `after` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A user who has used much of the day's budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdminNearBudget {
    /// The user.
    pub user_id: UserId,
    /// Email address, if the account has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The budget class of the user, if there is one. Those of service keys do not count here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// How much of the budget is used and held: the higher of tokens and cost. Can be more than 100.
    pub percent: u64,
    /// Input and output tokens; absent if they are not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Allowance>,
    /// Cost in millionths of the currency; absent if it is not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_micros: Option<Allowance>,
}
