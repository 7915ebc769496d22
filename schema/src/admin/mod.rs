//! `admin.*`: the console of the operator. Each method is for users with the role [`ADMIN`].

mod agents_file;
mod keys;
mod operations;
mod usage;

pub use agents_file::{AdminAgentsCheck, AdminAgentsFile, AdminCheckAgentsParams};
pub use keys::{AdminCreateKeyParams, AdminKeyRef, AdminNewKey};
pub use operations::{
    AdminErrorCount, AdminErrorHour, AdminErrors, AdminErrorsParams, AdminItem, AdminListItemsParams,
    AdminListThreadsParams, AdminProcess, AdminProcesses, AdminSetBudgetClassParams, AdminThread, FailureKind,
    ProcessState,
};
pub use usage::{
    AdminBudgets, AdminDayUsage, AdminNamedUsage, AdminNearBudget, AdminNearBudgetParams, AdminSharedBudget,
    AdminTopUsersParams, AdminUsageParams, AdminUsageReport, AdminUserBudget, AdminUserUsage,
};

use crate::auth::Nothing;
use crate::chatkit::{FeedbackKind, ThreadItem};
use crate::ids::{AuditId, ItemId, ProcessId, RunId, ServiceKeyId, ThreadId, UserId};
use crate::page::{Page, Raw};
use crate::runs::RunStatus;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The role that may use the console.
pub const ADMIN: &str = "admin";
/// The role, and the scope of a key or token, that may read what users and assistants have written.
pub const READ_CONTENT: &str = "admin:read_content";

/// Params of `admin.list_users`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminListUsersParams {
    /// How the email address begins. Case does not matter. Users of an identity provider are not searched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 254))]
    pub email_prefix: Option<String>,
    /// Maximum number of users on the page, 1 to 100. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u32>,
    /// Cursor: the `after` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// An account, as operators see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AdminUser {
    /// Id of the account.
    pub id: UserId,
    /// Email address. Absent for a user of an identity provider whose tokens have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Time of registration.
    pub created_at: DateTime<Utc>,
    /// When the account was disabled; absent if it is enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<DateTime<Utc>>,
    /// Roles of the user, from the operator and from the identity provider.
    pub roles: Vec<String>,
    /// The budget class that an operator has given to the user, or else that of the identity provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_class: Option<String>,
    /// Number of sessions that are not archived.
    pub sessions: u64,
    /// Bytes of the user's attachments.
    pub attachment_bytes: u64,
}

/// Params of methods that act on one user.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminUserRef {
    /// The user.
    pub user_id: UserId,
}

/// Params of lists without a filter.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminListParams {
    /// Maximum number of rows on the page, 1 to 100. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u32>,
    /// Cursor: the `after` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A run that has not ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LiveRun {
    /// Id of the run.
    pub id: RunId,
    /// The thread of the run.
    pub thread_id: ThreadId,
    /// The user of the thread.
    pub user_id: UserId,
    /// Email address of the user, if the account has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Name of the agent.
    pub agent: String,
    /// The first model of the agent; absent for the default model of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Status of the run.
    pub status: RunStatus,
    /// Time at which the input was stored.
    pub created_at: DateTime<Utc>,
    /// Milliseconds since then, by the clock of the database.
    pub age_ms: u64,
    /// The process that executes the run.
    pub lease_owner: ProcessId,
    /// Until when the run belongs to that process, unless it renews the lease.
    pub lease_expires_at: DateTime<Utc>,
    /// When the end of the run was requested; absent if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// Input and output tokens that the run has used so far. What the model's server has not reported yet is estimated.
    /// Of a run of another process, those until the last step that it has stored; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
}

/// Params of `admin.cancel_run`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminRunRef {
    /// The run.
    pub run_id: RunId,
}

/// A run that was to be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AdminCancelled {
    /// Id of the run.
    pub id: RunId,
    /// Its status. A run that had ended before keeps its status.
    pub status: RunStatus,
}

/// Params of `admin.list_feedback`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminListFeedbackParams {
    /// Only ratings of this kind. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<FeedbackKind>,
    /// Whether the rated items are returned too. Needs `admin:read_content`. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_content: Option<bool>,
    /// Maximum number of ratings on the page, 1 to 100. Default: 20, which is also the maximum with `include_content`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u32>,
    /// Cursor: the `after` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A rating.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AdminFeedback {
    /// The rated item.
    pub item_id: ItemId,
    /// The thread of the item.
    pub thread_id: ThreadId,
    /// Who has rated it.
    pub user_id: UserId,
    /// The rating.
    pub kind: FeedbackKind,
    /// Time of the rating.
    pub created_at: DateTime<Utc>,
    /// The item, with `include_content`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Raw<ThreadItem>>,
}

/// A service key. The key itself is stored nowhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AdminKey {
    /// Id of the key.
    pub id: ServiceKeyId,
    /// Its name.
    pub name: String,
    /// The methods that it may call.
    pub methods: Vec<String>,
    /// The users that it may act for.
    pub users: Vec<String>,
    /// Calls per minute; absent without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Time of creation.
    pub created_at: DateTime<Utc>,
    /// When it expires; absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked; absent if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<DateTime<Utc>>,
}

/// Params of `admin.audit_log`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminAuditParams {
    /// Only entries about this user. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// Maximum number of entries on the page, 1 to 100. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u32>,
    /// Cursor: the `after` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AdminAuditEntry {
    /// Id of the entry.
    pub id: AuditId,
    /// Time of the call.
    pub at: DateTime<Utc>,
    /// Who has acted: `key:NAME`, or `user:ID`.
    pub actor: String,
    /// The service key that the call was about (`admin.create_key`, `admin.revoke_key`), or else that has made it. A
    /// key of `admin.create_key` does not exist if the call has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<ServiceKeyId>,
    /// The user whom the call was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The method.
    pub action: String,
    /// `allowed`, or the code of the error with which the call was refused.
    pub outcome: String,
    /// Id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Address of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// A setting of the process that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdminSetting {
    /// Name of the environment variable.
    pub name: String,
    /// Its group in the documents.
    pub group: String,
    /// Whether a value is set. Otherwise the default is in effect.
    pub is_set: bool,
    /// Whether the value is secret. A secret value is never returned.
    pub is_secret: bool,
    /// The value in effect. Absent if it is secret, or if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// The settings of the process that answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdminSettings {
    /// Each setting, in the order of the documents.
    pub settings: Vec<AdminSetting>,
}

crate::methods! {
    /// List users, newest first, or those whose email address begins with a text, in the order of the addresses.
    AdminListUsers = "admin.list_users" (Admin): AdminListUsersParams => Page<AdminUser>;
    /// Disable an account: its tokens are refused, and its streams end within a second. Its data stays.
    ///
    /// The audit log gets an entry. Operators cannot disable their own account.
    AdminDisableUser = "admin.disable_user" (Admin): AdminUserRef => AdminUser;
    /// Enable an account: its tokens are accepted again.
    ///
    /// The audit log gets an entry. An account that is being erased cannot be enabled.
    AdminEnableUser = "admin.enable_user" (Admin): AdminUserRef => AdminUser;
    /// Give a budget class of the agents file to a user, or take it.
    ///
    /// The audit log gets an entry.
    AdminSetBudgetClass = "admin.set_budget_class" (Admin): AdminSetBudgetClassParams => AdminUser;
    /// List the conversations of a user that are not archived, those with the newest change first, without their
    /// content.
    AdminListThreads = "admin.list_threads" (Admin): AdminListThreadsParams => Page<AdminThread>;
    /// List the visible items of a conversation, newest first.
    ///
    /// This needs the role `admin:read_content`, and the scope of this name if a service key or a client token is used.
    /// The audit log gets an entry.
    AdminListItems = "admin.list_items" (Admin): AdminListItemsParams => Page<AdminItem>;
    /// List the runs that have not ended, newest first, of all users and on all replicas.
    AdminListRuns = "admin.list_runs" (Admin): AdminListParams => Page<LiveRun>;
    /// Cancel a run of any user, and wait until it has ended.
    ///
    /// The audit log gets an entry.
    AdminCancelRun = "admin.cancel_run" (Admin): AdminRunRef => AdminCancelled;
    /// Get the usage of all users per day, per agent and per model, for at most 100 days.
    AdminUsage = "admin.usage" (Admin): AdminUsageParams => AdminUsageReport;
    /// List the users with usage in a calendar month, those with the highest cost first, then those with the most
    /// tokens.
    AdminListTopUsers = "admin.list_top_users" (Admin): AdminTopUsersParams => Page<AdminUserUsage>;
    /// Get the budgets, and what is used and held today of those that users share.
    AdminGetBudgets = "admin.budgets" (Admin): Nothing => AdminBudgets;
    /// List the users who have used, or hold, much of their budget today.
    AdminListNearBudget = "admin.list_near_budget" (Admin): AdminNearBudgetParams => Page<AdminNearBudget>;
    /// List the ratings of all users, newest first.
    ///
    /// With `include_content`, each rating has the item that it is about. This needs the role `admin:read_content`, and
    /// the scope of this name if a service key or a client token is used. The audit log gets an entry for each item's
    /// user.
    AdminListFeedback = "admin.list_feedback" (Admin): AdminListFeedbackParams => Page<AdminFeedback>;
    /// Get the processes that serve the database, with their leases.
    AdminListProcesses = "admin.list_processes" (Admin): Nothing => AdminProcesses;
    /// Get how often models and tools have failed, of all processes. The counts are at most 10 seconds old, and kept
    /// for 30 days.
    AdminGetErrors = "admin.errors" (Admin): AdminErrorsParams => AdminErrors;
    /// Create a service key, and get its text.
    ///
    /// This needs the role `admin:read_content`, because the holder of a key can read what its users have written, and
    /// the token of an operator: service keys and client tokens create no keys. The audit log gets an entry.
    AdminCreateKey = "admin.create_key" (Admin): AdminCreateKeyParams => AdminNewKey;
    /// Revoke a service key for good. It, and client tokens that were created with it, stop to work within a second.
    ///
    /// The audit log gets an entry.
    AdminRevokeKey = "admin.revoke_key" (Admin): AdminKeyRef => AdminKey;
    /// List the service keys, newest first.
    AdminListKeys = "admin.list_keys" (Admin): AdminListParams => Page<AdminKey>;
    /// List the entries of the audit log, newest first.
    AdminAuditLog = "admin.audit_log" (Admin): AdminAuditParams => Page<AdminAuditEntry>;
    /// Get the agents of the process that answers, and its agents file. Secret values are replaced.
    AdminGetAgentsFile = "admin.agents_file" (Admin): Nothing => AdminAgentsFile;
    /// Check the text of an agents file, as `threadline doctor` checks the file. Nothing changes.
    AdminCheckAgentsFile = "admin.check_agents_file" (Admin): AdminCheckAgentsParams => AdminAgentsCheck;
    /// Read the agents file again, in the process that answers. New runs use the agents of the file. If it has an
    /// error, nothing changes.
    ///
    /// Other processes keep theirs: reload each, or send it SIGHUP. `admin.agents_file` says when a process has
    /// loaded its file. The audit log gets an entry.
    AdminReloadAgentsFile = "admin.reload_agents_file" (Admin): Nothing => AdminAgentsFile;
    /// Get the settings of the process that answers. Secret values are left out.
    AdminGetSettings = "admin.settings" (Admin): Nothing => AdminSettings;
}
