//! The use of the budgets, for operators: the report of the console, and warnings when little is left.

use super::{Budgets, allowance};
use crate::config::{BudgetClass, DailyBudget};
use crate::error::Error;
use crate::store::rows::BudgetRow;
use crate::store::to_unsigned;
use std::collections::BTreeMap;
use threadline_schema::admin::{AdminBudgets, AdminSharedBudget, AdminUserBudget};
use threadline_schema::error::Chain;
use threadline_store::SharedBudget;

impl Budgets {
    /// Returns the budgets that users share, of all agents and classes, without those that limit nothing.
    fn all_shared(&self) -> Vec<SharedBudget> {
        let agents = self.agents.current();
        let of_classes = agents.budget_classes().values().flat_map(|class| self.shared_budgets(None, Some(class)));
        let by_scope: BTreeMap<_, _> = agents
            .all()
            .flat_map(|agent| self.shared_budgets(Some(&agent), None))
            .chain(of_classes)
            .map(|budget| (budget.scope.clone(), budget))
            .collect();
        let limits = |budget: &SharedBudget| budget.limit_tokens != i64::MAX || budget.limit_micros != i64::MAX;
        by_scope.into_values().filter(limits).collect()
    }

    /// Returns the budgets that users share with what is used and held today, and what one user may use.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the database cannot be reached.
    pub(crate) async fn report(&self) -> Result<AdminBudgets, Error> {
        let rows = self.store.shared_budgets(self.today()).await?;
        let shared = self.all_shared().into_iter().map(|budget| {
            let row = rows.iter().find(|row| row.scope == budget.scope);
            let of = |limit: i64, used: fn(&BudgetRow) -> i64, held: fn(&BudgetRow) -> i64| {
                let number = |of: fn(&BudgetRow) -> i64| row.map(of).unwrap_or_default();
                (limit != i64::MAX).then(|| allowance(to_unsigned(limit), number(used), number(held)))
            };
            AdminSharedBudget {
                tokens: of(budget.limit_tokens, |row| row.tokens, |row| row.held_tokens),
                cost_micros: of(budget.limit_micros, |row| row.cost_micros, |row| row.held_micros),
                scope: budget.scope,
            }
        });
        let shared = shared.collect();
        let user = |class: Option<&BudgetClass>| {
            let DailyBudget { tokens, cost_micros } = self.user_budget(class);
            AdminUserBudget { class: class.map(|class| class.name.to_string()), tokens, cost_micros }
        };
        let agents = self.agents.current();
        let users =
            std::iter::once(user(None)).chain(agents.budget_classes().values().map(|class| user(Some(&**class))));
        let users = users.filter(|budget| budget.tokens.is_some() || budget.cost_micros.is_some()).collect();
        Ok(AdminBudgets { shared, users, resets_at: self.resets_at() })
    }

    /// Returns from how many tokens and millionths on a user of any class may have used this percentage of the budget.
    pub(crate) fn near_from(&self, percent: u32) -> (i64, i64) {
        let agents = self.agents.current();
        let classes = agents.budget_classes().values().map(|class| Some(&**class));
        let budgets = std::iter::once(None).chain(classes).map(|class| self.user_budget(class));
        let part = |limit: Option<u64>| {
            limit.map_or(i64::MAX, |limit| {
                i64::try_from(u128::from(limit) * u128::from(percent) / 100).unwrap_or(i64::MAX)
            })
        };
        budgets.fold((i64::MAX, i64::MAX), |(tokens, micros), budget| {
            (tokens.min(part(budget.tokens)), micros.min(part(budget.cost_micros)))
        })
    }

    /// Records what is used and held of the budget that all share, and of those of agents and classes, and warns when
    /// little is left.
    pub(crate) async fn watch(&self) {
        let budgets = self.all_shared();
        if budgets.is_empty() {
            return;
        }
        let today = self.today();
        let rows = match self.store.shared_budgets(today).await {
            Ok(rows) => rows,
            Err(error) => return tracing::warn!(error = %Chain(&error), "shared budgets cannot be read"),
        };
        for budget in budgets {
            let row = rows.iter().find(|row| row.scope == budget.scope);
            let used = |of: fn(&BudgetRow) -> i64| row.map(of).unwrap_or_default();
            self.record(today, &budget, "tokens", budget.limit_tokens, used(|row| row.tokens + row.held_tokens));
            self.record(today, &budget, "micros", budget.limit_micros, used(|row| row.cost_micros + row.held_micros));
        }
    }

    fn record(&self, today: i64, budget: &SharedBudget, unit: &'static str, limit: i64, used: i64) {
        if limit == i64::MAX {
            return;
        }
        #[allow(clippy::cast_precision_loss, reason = "a gauge holds floats")]
        for (state, value) in [("used", used as f64), ("limit", limit as f64)] {
            metrics::gauge!("threadline_shared_budget", "scope" => budget.scope.clone(), "unit" => unit, "state" => state)
                .set(value);
        }
        let is_soft_limit = i128::from(used) * 100 >= i128::from(limit) * i128::from(self.config.warn_percent);
        if is_soft_limit && self.warned.lock().insert((today, budget.scope.clone(), unit)) {
            tracing::warn!(
                scope = budget.scope,
                unit,
                used,
                limit,
                percent = self.config.warn_percent,
                "little is left of a budget that all users share; at its limit, no more runs start today"
            );
        }
    }
}
