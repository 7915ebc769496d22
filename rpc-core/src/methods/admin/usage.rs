//! Usage of all users, and budgets.

use super::AdminMethods;
use crate::error::Error;
use crate::methods::usage::{date, day_of_date, days_of};
use crate::page;
use crate::rpc::call::CallContext;
use crate::store::rows::UsageRow;
use crate::store::{UsageSum, month_of, to_unsigned};
use std::collections::BTreeMap;
use std::sync::Arc;
use threadline_schema::admin::{
    AdminBudgets, AdminDayUsage, AdminNamedUsage, AdminNearBudget, AdminNearBudgetParams, AdminTopUsersParams,
    AdminUsageParams, AdminUsageReport, AdminUserUsage,
};
use threadline_schema::auth::Nothing;
use threadline_schema::ids::UserId;
use threadline_schema::page::Page;
use threadline_schema::usage::{Allowance, UsageGetParams, Used};

/// Maximum number of days of a report of usage.
const MAX_DAYS: i64 = 100;
/// From which percentage of a budget on a user is listed.
const NEAR_PERCENT: u32 = 80;
/// Maximum number of rows that a page of users near their budget looks at.
const MAX_LOOKED_AT: u32 = 1_000;
/// Maximum number of characters of the name of an agent or model.
const NAME_CHARS: usize = 200;

impl AdminMethods {
    pub(super) async fn usage(
        self: Arc<Self>,
        _: CallContext,
        params: AdminUsageParams,
    ) -> Result<AdminUsageReport, Error> {
        let AdminUsageParams { since, until, agent, model } = params;
        let (first, last) = days_of(UsageGetParams { since, until }, self.budgets.today(), MAX_DAYS)?;
        let agent = agent.map(|agent| page::text("agent", agent, NAME_CHARS)).transpose()?;
        let model = model.map(|model| page::text("model", model, NAME_CHARS)).transpose()?;
        let is_all = agent.is_none() && model.is_none();
        let mut total = Used::default();
        let mut days: BTreeMap<i64, (u64, Used)> = BTreeMap::new();
        let (mut agents, mut models): (BTreeMap<String, Used>, BTreeMap<String, Used>) = Default::default();
        for sum in self.store.usage_sums(first, last).await? {
            let (used, users) = (used(&sum), to_unsigned(sum.users));
            let is_of_agent = agent.as_ref().is_none_or(|agent| *agent == sum.agent);
            let is_of_model = model.as_ref().is_none_or(|model| *model == sum.model);
            if is_of_model {
                *agents.entry(sum.agent).or_default() += used;
            }
            if is_of_agent {
                *models.entry(sum.model).or_default() += used;
            }
            if is_of_agent && is_of_model {
                total += used;
                let day = days.entry(sum.day).or_default();
                day.0 = day.0.saturating_add(users);
                day.1 += used;
            }
        }
        let day = |(day, (users, used))| -> Result<_, Error> {
            Ok(AdminDayUsage { date: date(day)?, users: is_all.then_some(users), used })
        };
        let named = |all: BTreeMap<String, Used>| {
            let named = |(name, used): (String, Used)| AdminNamedUsage {
                name: Some(name).filter(|name| !name.is_empty()),
                used,
            };
            all.into_iter().map(named).collect()
        };
        let days = days.into_iter().rev().map(day).collect::<Result<_, _>>()?;
        Ok(AdminUsageReport { days, total, agents: named(agents), models: named(models) })
    }

    pub(super) async fn list_top_users(
        self: Arc<Self>,
        _: CallContext,
        params: AdminTopUsersParams,
    ) -> Result<Page<AdminUserUsage>, Error> {
        let limit = page::limit(params.limit, page::MAX)?;
        let after = page::number_cursor(params.after.as_deref())?;
        let day = params.month_of.map_or_else(|| self.budgets.today(), day_of_date);
        let (rows, has_more) = self.store.usage_top_users(month_of(day), after, limit).await?;
        let last = rows.last().filter(|_| has_more);
        let after = last.map(|row| page::write_number_cursor(row.cost_micros, row.tokens, row.user_id));
        let mut emails = self.store.console_emails(rows.iter().map(|row| row.user_id).collect()).await?;
        let users = rows.into_iter().map(|row| AdminUserUsage {
            user_id: row.user_id,
            email: emails.remove(&row.user_id),
            runs: to_unsigned(row.runs),
            tokens: to_unsigned(row.tokens),
            cost_micros: to_unsigned(row.cost_micros),
            unpriced_runs: to_unsigned(row.unpriced_runs),
        });
        Ok(Page { data: users.collect(), has_more, after })
    }

    pub(super) async fn budgets(self: Arc<Self>, _: CallContext, _: Nothing) -> Result<AdminBudgets, Error> {
        self.budgets.report().await
    }

    pub(super) async fn list_near_budget(
        self: Arc<Self>,
        _: CallContext,
        params: AdminNearBudgetParams,
    ) -> Result<Page<AdminNearBudget>, Error> {
        let limit = page::limit(params.limit, page::MAX)?;
        let mut after: Option<UserId> = page::id_cursor(params.after.as_deref())?;
        let percent = params.percent.unwrap_or(NEAR_PERCENT);
        if !(1..=100).contains(&percent) {
            return Err(Error::invalid(format!("`percent` must be 1 to 100; it is {percent}.")));
        }
        let (tokens, micros) = self.budgets.near_from(percent);
        if (tokens, micros) == (i64::MAX, i64::MAX) {
            return Ok(Page::default());
        }
        let today = self.budgets.today();
        let mut looked_at = 0;
        // Users of a class with a larger budget are not near it, so a page of rows can be none of users.
        let (near, has_more) = loop {
            let (rows, has_more) = self.store.usage_from(today, tokens, micros, after, limit).await?;
            after = rows.last().map(|row| row.user_id);
            looked_at += limit;
            let near = self.near(rows, u64::from(percent)).await?;
            if !near.is_empty() || !has_more || looked_at >= MAX_LOOKED_AT {
                break (near, has_more);
            }
        };
        let after = after.filter(|_| has_more).map(|id| id.to_string());
        Ok(Page { data: near, has_more, after })
    }

    /// Returns those of the users who have used this percentage of their own budget.
    async fn near(&self, rows: Vec<UsageRow>, percent: u64) -> Result<Vec<AdminNearBudget>, Error> {
        let ids: Vec<UserId> = rows.iter().map(|row| row.user_id).collect();
        let mut emails = self.store.console_emails(ids.clone()).await?;
        let mut classes = self.store.budget_classes(ids).await?;
        let agents = self.agents.current();
        let near = rows.into_iter().filter_map(|row| {
            let class = classes.remove(&row.user_id).and_then(|name| agents.budget_classes().get(&*name).cloned());
            let budget = self.budgets.status(class.as_deref(), &row)?;
            let used = [budget.tokens, budget.cost_micros].into_iter().flatten().map(percent_of).max()?;
            (used >= percent).then(|| AdminNearBudget {
                user_id: row.user_id,
                email: emails.remove(&row.user_id),
                class: budget.class,
                percent: used,
                tokens: budget.tokens,
                cost_micros: budget.cost_micros,
            })
        });
        Ok(near.collect())
    }
}

fn percent_of(allowance: Allowance) -> u64 {
    let taken = u128::from(allowance.used) + u128::from(allowance.held);
    u64::try_from(taken * 100 / u128::from(allowance.limit.max(1))).unwrap_or(u64::MAX)
}

fn used(sum: &UsageSum) -> Used {
    Used {
        runs: to_unsigned(sum.runs),
        prompt_tokens: to_unsigned(sum.prompt_tokens),
        completion_tokens: to_unsigned(sum.completion_tokens),
        cost_micros: to_unsigned(sum.cost_micros),
        unpriced_runs: to_unsigned(sum.unpriced_runs),
    }
}
