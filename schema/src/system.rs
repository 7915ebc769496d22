//! `system.*` and `rpc.discover`: the service about itself.

use crate::auth::Nothing;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How well something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// Works.
    Healthy,
    /// Works in part: conversations are kept, answers may fail.
    Degraded,
    /// Does not work.
    Unhealthy,
}

/// A part whose health can be asked for by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Component {
    /// The database.
    Db,
    /// The model's server.
    Openrouter,
    /// Redis, where one is configured. Without it things are slower, so it is degraded at worst.
    Redis,
    /// Where files that go with messages are kept. Without it conversations go on, so it is degraded at worst.
    Attachments,
    /// The background tasks of the process. Part of the whole only when one has failed: then the process shuts down.
    Tasks,
}

/// Params of `system.health`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthParams {
    /// Only this part; every part when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Component>,
}

/// State of one part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComponentHealth {
    /// How well it is.
    pub status: HealthStatus,
    /// What it is, such as `sqlite` or `demo`.
    pub kind: String,
    /// How long the check took, in milliseconds.
    pub latency_ms: u64,
    /// What is wrong, in words that give nothing away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// State of the service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// The worst state of the parts asked for; a failing model only degrades the whole.
    pub status: HealthStatus,
    /// Version of the binary.
    pub version: String,
    /// The parts.
    pub components: BTreeMap<Component, ComponentHealth>,
}

crate::methods! {
    /// Whether the service and its parts are well.
    SystemHealth = "system.health" (Probe): HealthParams => Health;
    /// This API, as an OpenRPC document.
    RpcDiscover = "rpc.discover" (Public): Nothing => Map<String, Value>;
}
