//! Processes, failures, budget classes, and conversations.

use super::{AdminMethods, user};
use crate::error::Error;
use crate::page;
use crate::rpc::call::CallContext;
use crate::store::rows::ThreadRow;
use crate::store::{ErrorCount, ItemPage, ListedProcess, ThreadCursor, ThreadPage, hour_of, to_unsigned};
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;
use threadline_schema::admin::{
    AdminErrorCount, AdminErrorHour, AdminErrors, AdminErrorsParams, AdminItem, AdminListItems, AdminListItemsParams,
    AdminListThreadsParams, AdminProcess, AdminProcesses, AdminSetBudgetClass, AdminSetBudgetClassParams, AdminThread,
    AdminUser, FailureKind, ProcessState,
};
use threadline_schema::auth::Nothing;
use threadline_schema::page::{Order, Page, Raw};
use threadline_schema::threads::ThreadState;
use threadline_schema::{ErrorCode, RpcMethod};

/// A process that was not seen for this time is gone: it reports every 15 seconds.
const GONE_AFTER: TimeDelta = TimeDelta::seconds(60);
/// Processes without runs that were not seen for this time are not listed.
const LISTED_FOR: TimeDelta = TimeDelta::hours(1);
/// Maximum number of processes of a list.
const MAX_PROCESSES: u32 = 200;
/// Hours of a report of failures.
const ERROR_HOURS: u32 = 24;
/// Maximum number of hours of such a report: counts are kept for this time.
const MAX_ERROR_HOURS: u32 = 720;
/// Maximum number of items of a page.
const MAX_ITEMS: u32 = 20;

impl AdminMethods {
    pub(super) async fn list_processes(self: Arc<Self>, _: CallContext, _: Nothing) -> Result<AdminProcesses, Error> {
        let now = self.clock.now().utc();
        let listed = self.store.processes_list((now - LISTED_FOR).into(), MAX_PROCESSES).await?;
        let process = |ListedProcess { process, live_runs, lease_expires_at }: ListedProcess| {
            let seen_at = process.seen_at.utc();
            let state = match process.draining_since {
                _ if seen_at < now - GONE_AFTER => ProcessState::Gone,
                Some(_) => ProcessState::Draining,
                None => ProcessState::Live,
            };
            AdminProcess {
                id: process.id,
                is_this: process.id == self.engine.process_id(),
                state,
                host: process.host,
                address: process.address,
                version: process.version,
                started_at: process.started_at.map(|at| at.utc()),
                seen_at,
                draining_since: process.draining_since.map(|at| at.utc()),
                live_runs: to_unsigned(live_runs),
                lease_expires_at: lease_expires_at.map(|at| at.utc()),
            }
        };
        Ok(AdminProcesses { processes: listed.into_iter().map(process).collect() })
    }

    pub(super) async fn errors(
        self: Arc<Self>,
        _: CallContext,
        params: AdminErrorsParams,
    ) -> Result<AdminErrors, Error> {
        let hours = params.hours.unwrap_or(ERROR_HOURS);
        if !(1..=MAX_ERROR_HOURS).contains(&hours) {
            return Err(Error::invalid(format!("`hours` must be 1 to {MAX_ERROR_HOURS}; it is {hours}.")));
        }
        let since = hour_of(self.clock.now()) - i64::from(hours) + 1;
        let counted = |(row, last): (ErrorCount, i64)| AdminErrorCount {
            kind: if row.kind == "tool" { FailureKind::Tool } else { FailureKind::Model },
            name: row.name,
            code: row.code,
            count: to_unsigned(row.count),
            last_hour: beginning(last),
        };
        let errors = self.store.errors_since(since).await?.into_iter().map(counted).collect();
        let hour =
            |(hour, failures): (i64, i64)| AdminErrorHour { hour: beginning(hour), count: to_unsigned(failures) };
        let hours = self.store.errors_by_hour(since).await?.into_iter().map(hour).collect();
        Ok(AdminErrors { errors, hours })
    }

    pub(super) async fn set_budget_class(
        self: Arc<Self>,
        call: CallContext,
        params: AdminSetBudgetClassParams,
    ) -> Result<AdminUser, Error> {
        let AdminSetBudgetClassParams { user_id, class } = params;
        let no_user = || Error::new(ErrorCode::NotFound, "There is no user with this id.");
        let agents = self.agents.current();
        if let Some(class) = &class
            && !agents.budget_classes().contains_key(class.as_str())
        {
            let names = agents.budget_classes().keys().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
            let there_are = if names.is_empty() { "it has none".to_owned() } else { format!("there are: {names}") };
            return Err(Error::invalid(format!("`class` is no budget class of the agents file; {there_are}.")));
        }
        self.store.user_by_id(user_id).await?.ok_or_else(no_user)?;
        self.record(&call, AdminSetBudgetClass::NAME, Some(user_id)).await?;
        self.accounts.set_budget_class(user_id, class).await?;
        self.store.console_user(user_id).await?.map(user).ok_or_else(no_user)
    }

    pub(super) async fn list_threads(
        self: Arc<Self>,
        _: CallContext,
        params: AdminListThreadsParams,
    ) -> Result<Page<AdminThread>, Error> {
        let limit = page::limit(params.limit, page::MAX)?;
        let after = page::time_cursor(params.after.as_deref())?.map(|(at, id)| ThreadCursor::Key(at, id));
        let query = ThreadPage { limit, order: Order::Desc, after };
        let (rows, has_more, _) = self.store.threads_page(params.user_id, query).await?;
        let after = rows.last().filter(|_| has_more).map(|row| page::write_thread_cursor(row.updated_at, row.id));
        let thread = |row: ThreadRow| AdminThread {
            id: row.id,
            is_open: row.status == ThreadState::Active,
            messages: to_unsigned(row.message_count),
            created_at: row.created_at.utc(),
            updated_at: row.updated_at.utc(),
        };
        Ok(Page { data: rows.into_iter().map(thread).collect(), has_more, after })
    }

    pub(super) async fn list_items(
        self: Arc<Self>,
        call: CallContext,
        params: AdminListItemsParams,
    ) -> Result<Page<AdminItem>, Error> {
        let limit = page::limit(params.limit, MAX_ITEMS)?;
        let after = page::id_cursor(params.after.as_deref())?;
        self.check_may_read_content(&call).await?;
        let owner = self.store.console_user_of_thread(params.thread_id).await?;
        let owner = owner.ok_or_else(|| Error::new(ErrorCode::ThreadNotFound, "There is no thread with this id."))?;
        self.record(&call, AdminListItems::NAME, Some(owner)).await?;
        let query = ItemPage { limit, order: Order::Desc, after, hidden: false };
        let (items, has_more) = self.store.items_page(owner, params.thread_id, query).await?;
        let after = items.last().filter(|_| has_more).map(|item| item.id.to_string());
        let data = items.into_iter().map(|item| Raw::from_json(item.body)).collect::<Result<_, _>>()?;
        Ok(Page { data, has_more, after })
    }
}

/// Returns the beginning of an hour that is counted from 1970-01-01 UTC.
fn beginning(hour: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(hour.saturating_mul(3_600), 0).unwrap_or_default()
}
