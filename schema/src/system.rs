//! `system.*` and `rpc.discover`: health and description of the service.

use crate::auth::Nothing;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Health of the service or of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// Works.
    Healthy,
    /// Works in part: conversations are stored, but runs may fail.
    Degraded,
    /// Does not work.
    Unhealthy,
}

/// A component whose health can be requested alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Component {
    /// The database.
    Db,
    /// The model server.
    Openrouter,
    /// Redis, if configured. The service works without it, so this component is at worst degraded.
    Redis,
    /// The storage of attachments. The service works without it, so this component is at worst degraded.
    Attachments,
    /// The MCP servers of the agents file, if it has any. The service works without them, so this component is at worst
    /// degraded. It is healthy, with a detail, if tools of a server are left out.
    Mcp,
    /// The background tasks of the process. Reported only if one has failed: the process is shutting down then.
    Tasks,
}

/// Params of `system.health`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthParams {
    /// Check only this component. Default: all components.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Component>,
}

/// Health of one component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComponentHealth {
    /// Health of the component.
    pub status: HealthStatus,
    /// Kind of the component, such as `sqlite` or `demo`.
    pub kind: String,
    /// Duration of the check in milliseconds.
    pub latency_ms: u64,
    /// What is wrong, without internal details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Health of the service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// The worst health of the checked components. An unhealthy model server alone makes the service degraded.
    pub status: HealthStatus,
    /// Version of the binary.
    pub version: String,
    /// Health by component.
    pub components: BTreeMap<Component, ComponentHealth>,
}

/// Limits of messages and sessions. A front end can check them before it sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageLimits {
    /// Maximum number of characters (Unicode scalar values) of the text of a message; null is no limit.
    pub message_chars: Option<u32>,
    /// Maximum number of attachments of a message.
    pub attachments: u32,
    /// Maximum size of an attachment in bytes. Images can have a lower one.
    pub attachment_bytes: u64,
    /// Allowed media types of attachments. `*` at the end matches any rest.
    pub attachment_types: Vec<String>,
    /// Days after which an unused session is deleted; null is never. Agents can have another number.
    pub retention_days: Option<u64>,
    /// Hours after their last use when temporary sessions are deleted.
    pub temporary_hours: u64,
}

crate::methods! {
    /// Check the health of the service and its components.
    SystemHealth = "system.health" (Probe): HealthParams => Health;
    /// Get the limits of messages.
    SystemLimits = "system.limits" (Public): Nothing => MessageLimits;
    /// Get this API as an OpenRPC document.
    RpcDiscover = "rpc.discover" (Public): Nothing => Map<String, Value>;
}
