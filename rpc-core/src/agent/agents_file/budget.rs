//! Budgets per day: of agents, and `[budget_classes.NAME]`

use super::raw::{RawBudgetClass, SpannedText};
use super::{AgentsFileReader, Result};
use crate::config::{BudgetClass, DailyBudget};
use toml::Spanned;

/// Highest budget per day, in units of the currency.
const MAX_COST: f64 = 1e12;

impl AgentsFileReader<'_> {
    /// Validates a budget class.
    pub(super) fn budget_class(&self, name: &SpannedText, table: RawBudgetClass) -> Result<BudgetClass> {
        Ok(BudgetClass {
            name: self.name(name)?,
            all: self.daily_budget(table.budget_tokens_per_day, table.budget_cost_per_day)?,
            user: self.daily_budget(table.user_budget_tokens_per_day, table.user_budget_cost_per_day)?,
        })
    }

    /// Validates a budget in tokens and in money.
    pub(super) fn daily_budget(&self, tokens: Option<Spanned<u64>>, cost: Option<Spanned<f64>>) -> Result<DailyBudget> {
        let cost = self.number(cost, 0.000_001..=MAX_COST)?;
        Ok(DailyBudget {
            tokens: self.number(tokens, 1..=u64::MAX)?,
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in the range")]
            cost_micros: cost.map(|cost| (cost * 1e6).round() as u64),
        })
    }
}
