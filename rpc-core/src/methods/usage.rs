//! `usage.*`

use crate::budget::Budgets;
use crate::error::Error;
use crate::rpc::call::CallContext;
use crate::rpc::registry::Registry;
use crate::store::rows::UsageRow;
use crate::store::{Store, to_unsigned};
use chrono::{DateTime, Days, NaiveDate};
use std::sync::Arc;
use threadline_schema::usage::{DayUsage, UsageGet, UsageGetParams, UsageReport, Used};

/// Maximum number of days of a report.
const MAX_DAYS: i64 = 366;
/// Number of days of a report if `since` is absent.
const DEFAULT_DAYS: u64 = 30;

/// Handlers of `usage.*`.
pub(crate) struct UsageMethods {
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) store: Store,
}

impl UsageMethods {
    pub(crate) fn register(self, registry: &mut Registry) {
        registry.namespace(self).command(UsageGet, Self::get);
    }

    async fn get(self: Arc<Self>, call: CallContext, params: UsageGetParams) -> Result<UsageReport, Error> {
        let user_id = call.user_id()?;
        let today = self.budgets.today();
        let (first, last) = days_of(params, today, MAX_DAYS)?;
        let rows = self.store.usage(user_id, first, last).await?;
        let class = self.budgets.class_of(user_id, call.service_key_id()).await?;
        let row = match rows.iter().find(|row| row.day == today) {
            Some(row) => row.clone(),
            None if (first..=last).contains(&today) => UsageRow::unused(user_id, today),
            None => {
                let rows = self.store.usage(user_id, today, today).await?;
                rows.into_iter().next().unwrap_or_else(|| UsageRow::unused(user_id, today))
            }
        };
        let budget = self.budgets.status(class.as_deref(), &row);
        let mut total = Used::default();
        let mut days = Vec::with_capacity(rows.len());
        for row in rows {
            let used = used(&row);
            total += used;
            days.push(DayUsage { date: date(row.day)?, used });
        }
        Ok(UsageReport { days, total, budget })
    }
}

fn used(row: &UsageRow) -> Used {
    Used {
        runs: to_unsigned(row.runs),
        prompt_tokens: to_unsigned(row.prompt_tokens),
        completion_tokens: to_unsigned(row.completion_tokens),
        cost_micros: to_unsigned(row.cost_micros),
        unpriced_runs: to_unsigned(row.unpriced_runs),
    }
}

/// Returns the first and the last day of a report. Days are counted from 1970-01-01.
///
/// # Errors
/// `INVALID_REQUEST` if there are none, or more than `max_days`.
pub(super) fn days_of(params: UsageGetParams, today: i64, max_days: i64) -> Result<(i64, i64), Error> {
    let until = match params.until {
        Some(until) => until,
        None => date(today)?,
    };
    let since = match params.since {
        Some(since) => since,
        None => until.checked_sub_days(Days::new(DEFAULT_DAYS - 1)).unwrap_or(until),
    };
    let (first, last) = (day_of_date(since), day_of_date(until));
    if first > last {
        return Err(Error::invalid("`since` must not be after `until`."));
    }
    if last - first >= max_days {
        return Err(Error::invalid(format!("At most {max_days} days can be asked for at a time.")));
    }
    Ok((first, last))
}

/// Days since 1970-01-01.
pub(super) fn day_of_date(date: NaiveDate) -> i64 {
    (date - DateTime::UNIX_EPOCH.date_naive()).num_days()
}

pub(super) fn date(day: i64) -> Result<NaiveDate, Error> {
    let date =
        chrono::TimeDelta::try_days(day).and_then(|days| DateTime::UNIX_EPOCH.date_naive().checked_add_signed(days));
    date.ok_or_else(|| Error::internal(format!("there is no day {day}")))
}
