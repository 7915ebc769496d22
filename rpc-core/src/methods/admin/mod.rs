//! `admin.*`: the console. The pipeline has checked that the caller is an operator.

mod agents_file;
mod keys;
mod operations;
mod usage;

use crate::accounts::Accounts;
use crate::agent::AgentRegistry;
use crate::audit::{AuditEntry, AuditLog};
use crate::auth::email;
use crate::auth::standings::Standings;
use crate::budget::Budgets;
use crate::config::AgentsFile;
use crate::error::Error;
use crate::page;
use crate::rpc::call::CallContext;
use crate::rpc::registry::Registry;
use crate::store::rows::{AuditRow, FeedbackRow, ItemRow, ServiceKeyRow};
use crate::store::{Clock, ListedRun, ListedUser, Store, to_unsigned};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use threadline_engine::Engine;
use threadline_schema::admin::{
    AdminAuditEntry, AdminAuditLog, AdminAuditParams, AdminCancelRun, AdminCancelled, AdminCheckAgentsFile,
    AdminCreateKey, AdminDisableUser, AdminEnableUser, AdminFeedback, AdminGetAgentsFile, AdminGetBudgets,
    AdminGetErrors, AdminGetSettings, AdminKey, AdminListFeedback, AdminListFeedbackParams, AdminListItems,
    AdminListKeys, AdminListNearBudget, AdminListParams, AdminListProcesses, AdminListRuns, AdminListThreads,
    AdminListTopUsers, AdminListUsers, AdminListUsersParams, AdminReloadAgentsFile, AdminRevokeKey, AdminRunRef,
    AdminSetBudgetClass, AdminSetting, AdminSettings, AdminUsage, AdminUser, AdminUserRef, LiveRun, READ_CONTENT,
};
use threadline_schema::auth::Nothing;
use threadline_schema::chatkit::ThreadItem;
use threadline_schema::ids::{ItemId, UserId};
use threadline_schema::page::{Page, Raw};
use threadline_schema::{ErrorCode, RpcMethod};

/// Maximum number of ratings of a page with the items, which may be long.
const MAX_ITEMS: u32 = 20;
/// Maximum number of characters of an email address.
const EMAIL_CHARS: usize = 254;

/// Handlers of `admin.*`.
pub(crate) struct AdminMethods {
    pub(crate) store: Store,
    pub(crate) clock: Arc<Clock>,
    pub(crate) accounts: Accounts,
    pub(crate) standings: Arc<Standings>,
    pub(crate) agents: Arc<AgentRegistry>,
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) engine: Engine,
    pub(crate) audit: AuditLog,
    pub(crate) agents_file: Option<Arc<dyn AgentsFile>>,
    pub(crate) settings: Arc<[AdminSetting]>,
}

impl AdminMethods {
    pub(crate) fn register(self, registry: &mut Registry) {
        registry
            .namespace(self)
            .command(AdminListUsers, Self::list_users)
            .command(AdminDisableUser, Self::disable_user)
            .command(AdminEnableUser, Self::enable_user)
            .command(AdminSetBudgetClass, Self::set_budget_class)
            .command(AdminListThreads, Self::list_threads)
            .command(AdminListItems, Self::list_items)
            .command(AdminListRuns, Self::list_runs)
            .command(AdminCancelRun, Self::cancel_run)
            .command(AdminUsage, Self::usage)
            .command(AdminListTopUsers, Self::list_top_users)
            .command(AdminGetBudgets, Self::budgets)
            .command(AdminListNearBudget, Self::list_near_budget)
            .command(AdminListFeedback, Self::list_feedback)
            .command(AdminListProcesses, Self::list_processes)
            .command(AdminGetErrors, Self::errors)
            .command(AdminCreateKey, Self::create_key)
            .command(AdminRevokeKey, Self::revoke_key)
            .command(AdminListKeys, Self::list_keys)
            .command(AdminAuditLog, Self::audit_log)
            .command(AdminGetAgentsFile, Self::agents_file)
            .command(AdminCheckAgentsFile, Self::check_agents_file)
            .command(AdminReloadAgentsFile, Self::reload_agents_file)
            .command(AdminGetSettings, Self::settings);
    }

    async fn list_users(
        self: Arc<Self>,
        _: CallContext,
        params: AdminListUsersParams,
    ) -> Result<Page<AdminUser>, Error> {
        let limit = page::limit(params.limit, page::MAX)?;
        let after = page::id_cursor(params.after.as_deref())?;
        let prefix = params.email_prefix.map(|prefix| page::text("email_prefix", prefix, EMAIL_CHARS)).transpose()?;
        let prefix = prefix.map(|prefix| email::fold(&prefix)).filter(|prefix| !prefix.is_empty());
        let (users, has_more) = match prefix {
            None => self.store.console_users(after, limit).await?,
            Some(prefix) => self.store.console_users_by_email(prefix, after, limit).await?,
        };
        let after = users.last().filter(|_| has_more).map(|listed| listed.user.id.to_string());
        Ok(Page { data: users.into_iter().map(user).collect(), has_more, after })
    }

    async fn disable_user(self: Arc<Self>, call: CallContext, params: AdminUserRef) -> Result<AdminUser, Error> {
        if call.user_id()? == params.user_id {
            return Err(Error::invalid("You cannot disable your own account. Ask another operator."));
        }
        self.set_disabled(&call, params.user_id, true).await
    }

    async fn enable_user(self: Arc<Self>, call: CallContext, params: AdminUserRef) -> Result<AdminUser, Error> {
        self.set_disabled(&call, params.user_id, false).await
    }

    async fn set_disabled(&self, call: &CallContext, id: UserId, disabled: bool) -> Result<AdminUser, Error> {
        let no_user = || Error::new(ErrorCode::NotFound, "There is no user with this id.");
        self.store.user_by_id(id).await?.ok_or_else(no_user)?;
        let action = if disabled { AdminDisableUser::NAME } else { AdminEnableUser::NAME };
        self.record(call, action, Some(id)).await?;
        self.accounts.set_disabled(id, disabled).await?;
        self.standings.announce(id.into()).await;
        self.store.console_user(id).await?.map(user).ok_or_else(no_user)
    }

    async fn list_runs(self: Arc<Self>, _: CallContext, params: AdminListParams) -> Result<Page<LiveRun>, Error> {
        let limit = page::limit(params.limit, page::MAX)?;
        let after = page::id_cursor(params.after.as_deref())?;
        let (runs, has_more) = self.store.console_runs(after, limit).await?;
        let after = runs.last().filter(|_| has_more).map(|listed| listed.run.id.to_string());
        let agents = self.agents.current();
        let now = self.clock.now();
        let live = |listed: ListedRun| {
            let ListedRun { run, thread, email } = listed;
            let agent = agents.resolve(&thread);
            let tokens = self.engine.tokens_so_far(&run);
            LiveRun {
                id: run.id,
                thread_id: run.thread_id,
                user_id: run.user_id,
                email,
                agent: agent.agent.name.to_string(),
                model: agent.models.first().and_then(|model| model.as_deref().map(str::to_owned)),
                status: run.status,
                created_at: run.created_at.utc(),
                age_ms: to_unsigned((now.utc() - run.created_at.utc()).num_milliseconds()),
                lease_owner: run.owner,
                lease_expires_at: run.lease_expires_at.utc(),
                cancel_requested_at: run.cancel_requested_at.map(|at| at.utc()),
                tokens,
            }
        };
        Ok(Page { data: runs.into_iter().map(live).collect(), has_more, after })
    }

    async fn cancel_run(self: Arc<Self>, call: CallContext, params: AdminRunRef) -> Result<AdminCancelled, Error> {
        let user_id = self.store.console_user_of_run(params.run_id).await?;
        let user_id = user_id.ok_or_else(|| Error::new(ErrorCode::RunNotFound, "There is no run with this id."))?;
        self.record(&call, AdminCancelRun::NAME, Some(user_id)).await?;
        let run = self.engine.cancel(user_id, params.run_id).await?;
        Ok(AdminCancelled { id: run.id, status: run.status })
    }

    async fn list_feedback(
        self: Arc<Self>,
        call: CallContext,
        params: AdminListFeedbackParams,
    ) -> Result<Page<AdminFeedback>, Error> {
        let with_items = params.include_content.unwrap_or_default();
        let max = if with_items { MAX_ITEMS } else { page::MAX };
        let limit = page::limit(params.limit, max)?;
        let after = page::time_cursor(params.after.as_deref())?;
        if with_items {
            self.check_may_read_content(&call).await?;
        }
        let (rows, has_more) = self.store.console_feedback(params.kind, after, limit).await?;
        let after = rows.last().filter(|_| has_more).map(|row| page::write_time_cursor(row.created_at, row.item_id));
        let mut items = if with_items { self.read_items(&call, &rows).await? } else { HashMap::new() };
        let rated = |row: FeedbackRow| AdminFeedback {
            item_id: row.item_id,
            thread_id: row.thread_id,
            user_id: row.user_id,
            kind: row.kind,
            created_at: row.created_at.utc(),
            item: items.remove(&row.item_id),
        };
        Ok(Page { data: rows.into_iter().map(rated).collect(), has_more, after })
    }

    /// Reads the items of ratings, after it is recorded whose they are.
    async fn read_items(
        &self,
        call: &CallContext,
        rows: &[FeedbackRow],
    ) -> Result<HashMap<ItemId, Raw<ThreadItem>>, Error> {
        let users: BTreeSet<UserId> = rows.iter().map(|row| row.user_id).collect();
        for user_id in users {
            self.record(call, AdminListFeedback::NAME, Some(user_id)).await?;
        }
        let items = self.store.console_items(rows.iter().map(|row| row.item_id).collect()).await?;
        let read = |item: ItemRow| -> Result<_, Error> { Ok((item.id, Raw::from_json(item.body)?)) };
        items.into_iter().map(read).collect()
    }

    async fn check_may_read_content(&self, call: &CallContext) -> Result<(), Error> {
        let identity = call.identity()?;
        let in_scope = identity.grant.as_ref().is_none_or(|grant| grant.methods.allows_content());
        let roles = self.store.user_roles(identity.user_id).await?;
        if in_scope && roles.iter().any(|role| role == READ_CONTENT) {
            return Ok(());
        }
        let message = "To read what users have written, the user needs the role `admin:read_content`, and a service key or a \
                       client token needs the scope of the same name.";
        Err(Error::new(ErrorCode::Forbidden, message))
    }

    async fn list_keys(self: Arc<Self>, _: CallContext, params: AdminListParams) -> Result<Page<AdminKey>, Error> {
        let limit = page::limit(params.limit, page::MAX)?;
        let after = page::id_cursor(params.after.as_deref())?;
        let (keys, has_more) = self.store.console_keys(after, limit).await?;
        let after = keys.last().filter(|_| has_more).map(|key| key.id.to_string());
        Ok(Page { data: keys.into_iter().map(key).collect(), has_more, after })
    }

    async fn audit_log(
        self: Arc<Self>,
        _: CallContext,
        params: AdminAuditParams,
    ) -> Result<Page<AdminAuditEntry>, Error> {
        let limit = page::limit(params.limit, page::MAX)?;
        let after = page::time_cursor(params.after.as_deref())?;
        let (rows, has_more) = self.store.console_audit(params.user_id, after, limit).await?;
        let after = rows.last().filter(|_| has_more).map(|row| page::write_time_cursor(row.at, row.id));
        Ok(Page { data: rows.into_iter().map(entry).collect(), has_more, after })
    }

    async fn settings(self: Arc<Self>, _: CallContext, _: Nothing) -> Result<AdminSettings, Error> {
        Ok(AdminSettings { settings: self.settings.to_vec() })
    }

    /// Records what an operator is about to do.
    async fn record(&self, call: &CallContext, action: &str, user_id: Option<UserId>) -> Result<(), Error> {
        let identity = call.identity()?;
        let key = identity.service_key();
        let actor = key.map_or_else(|| format!("user:{}", identity.user_id), |key| format!("key:{}", key.name));
        let entry = AuditEntry {
            actor: &actor,
            key_id: key.map(|key| key.id),
            user_id,
            action,
            outcome: "allowed",
            request_id: call.request_id(),
            address: call.ip(),
        };
        self.audit.record(entry).await
    }
}

fn user(listed: ListedUser) -> AdminUser {
    let ListedUser { user, email, roles, budget_class } = listed;
    AdminUser {
        id: user.id,
        email,
        created_at: user.created_at.utc(),
        disabled_at: user.disabled_at.map(|at| at.utc()),
        roles,
        budget_class,
        sessions: to_unsigned(user.session_count),
        attachment_bytes: to_unsigned(user.attachment_bytes),
    }
}

fn key(row: ServiceKeyRow) -> AdminKey {
    AdminKey {
        id: row.id,
        name: row.name,
        methods: row.methods.0,
        users: row.users.0,
        requests_per_minute: row.requests_per_minute.map(to_unsigned),
        created_at: row.created_at.utc(),
        expires_at: row.expires_at.map(|at| at.utc()),
        revoked_at: row.revoked_at.map(|at| at.utc()),
        last_used_at: row.last_used_at.map(|at| at.utc()),
    }
}

fn entry(row: AuditRow) -> AdminAuditEntry {
    AdminAuditEntry {
        id: row.id,
        at: row.at.utc(),
        actor: row.actor,
        key_id: row.key_id,
        user_id: row.user_id,
        action: row.action,
        outcome: row.outcome,
        request_id: row.request_id,
        address: row.address,
    }
}
