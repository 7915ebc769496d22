//! Whether the parts are well.

use crate::Redis;
use crate::core::Core;
use crate::error::Error;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use threadline_runtime::TaskFailure;
use threadline_schema::system::{Component, ComponentHealth, Health, HealthParams, HealthStatus};
use threadline_tools::mcp::McpStatus;
use tokio::sync::Mutex;

/// How long the state of the model's server is believed, and that of the storage for attachments: each check is a request
/// to somebody else's machine, or a write.
const OUTSIDE_FRESH_FOR: Duration = Duration::from_secs(30);
/// How long the states of database and Redis are believed: anybody may ask, and each check is a query.
const STORE_FRESH_FOR: Duration = Duration::from_secs(1);
/// Maximum length of what is wrong with MCP servers, in characters.
const DETAIL_CHARS: usize = 2_000;
/// How long a check may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The latest checks. One at a time: who asks meanwhile waits for the same answer.
#[derive(Debug, Default)]
pub(crate) struct HealthChecks {
    database: Mutex<Option<(Instant, ComponentHealth)>>,
    redis: Mutex<Option<(Instant, ComponentHealth)>>,
    model: Mutex<Option<(Instant, ComponentHealth)>>,
    attachments: Mutex<Option<(Instant, ComponentHealth)>>,
}

/// The state of the parts that were asked for.
pub(crate) async fn check(core: &Core, params: HealthParams) -> Health {
    let wanted = |component| params.component.is_none_or(|only| only == component);
    let mut components = BTreeMap::new();
    if wanted(Component::Db) {
        components.insert(Component::Db, database(core).await);
    }
    if let Some(redis) = core.redis.as_ref().filter(|_| wanted(Component::Redis)) {
        components.insert(Component::Redis, of_redis(core, redis).await);
    }
    if wanted(Component::Openrouter) {
        components.insert(Component::Openrouter, model(core).await);
    }
    if wanted(Component::Attachments) {
        components.insert(Component::Attachments, attachments(core).await);
    }
    let servers = if wanted(Component::Mcp) { core.agents.current().mcp_status() } else { Vec::new() };
    if !servers.is_empty() {
        components.insert(Component::Mcp, mcp_servers(&servers));
    }
    let failure = core.supervisor.failure();
    if params.component == Some(Component::Tasks) || params.component.is_none() && failure.is_some() {
        components.insert(Component::Tasks, tasks(failure.as_ref()));
    }
    // Without the model, conversations can still be read: the service is degraded. Without the database nothing can.
    let status = components
        .iter()
        .map(|(component, health)| match (component, health.status) {
            (Component::Openrouter, HealthStatus::Unhealthy) if params.component.is_none() => HealthStatus::Degraded,
            (_, status) => status,
        })
        .max()
        .unwrap_or(HealthStatus::Healthy);
    Health { status, version: env!("CARGO_PKG_VERSION").to_owned(), components }
}

/// After a failure the process drains and exits. A load balancer that asks meanwhile sees it here.
fn tasks(failure: Option<&TaskFailure>) -> ComponentHealth {
    let (status, detail) = match failure {
        None => (HealthStatus::Healthy, None),
        Some(failure) => {
            let detail = format!("The background task {} has failed. This process shuts down.", failure.task.name());
            (HealthStatus::Unhealthy, Some(detail))
        }
    };
    ComponentHealth { status, kind: "supervised".to_owned(), latency_ms: 0, detail }
}

async fn database(core: &Core) -> ComponentHealth {
    let check = async {
        let answer = core.store.ping().await.map_err(|error| Error::from(error).into_parts());
        answer.map_err(|(public, log)| (public.message, log))
    };
    cached(&core.health.database, STORE_FRESH_FOR, core.store.kind(), check).await
}

/// Nothing stops without Redis, so it is never worse than degraded.
async fn of_redis(core: &Core, redis: &Redis) -> ComponentHealth {
    let check = async { redis.ping().await.map_err(|error| ("Redis does not answer.".to_owned(), Some(error))) };
    let mut health = cached(&core.health.redis, STORE_FRESH_FOR, "redis", check).await;
    health.status = health.status.min(HealthStatus::Degraded);
    health
}

async fn model(core: &Core) -> ComponentHealth {
    let check = async {
        core.model.check_health().await.map_err(|error| (error.public_message().to_owned(), Some(error.to_string())))
    };
    cached(&core.health.model, OUTSIDE_FRESH_FOR, core.model.kind(), check).await
}

/// Conversations go on without files, so it is never worse than degraded.
async fn attachments(core: &Core) -> ComponentHealth {
    let check = async {
        let public = "The storage for attachments does not work.".to_owned();
        core.attachments.check_storage().await.map_err(|error| (public, Some(error.to_string())))
    };
    let mut health = cached(&core.health.attachments, OUTSIDE_FRESH_FOR, core.attachments.storage_kind(), check).await;
    health.status = health.status.min(HealthStatus::Degraded);
    health
}

/// Conversations go on without a server, so it is never worse than degraded. Why one is not connected is in the log: the
/// text can name programs and addresses.
fn mcp_servers(servers: &[(Arc<str>, McpStatus)]) -> ComponentHealth {
    let mut problems = Vec::new();
    for (name, McpStatus { error, left_out, .. }) in servers {
        if error.is_some() {
            problems.push(format!("The MCP server {name} is not connected."));
        }
        problems.extend((!left_out.is_empty()).then(|| format!("Of the MCP server {name}: {}.", left_out.join("; "))));
    }
    let are_connected = servers.iter().all(|(_, server)| server.error.is_none());
    let status = if are_connected { HealthStatus::Healthy } else { HealthStatus::Degraded };
    let detail: String = problems.join(" ").chars().take(DETAIL_CHARS).collect();
    ComponentHealth { status, kind: "mcp".to_owned(), latency_ms: 0, detail: (!detail.is_empty()).then_some(detail) }
}

async fn cached(
    cache: &Mutex<Option<(Instant, ComponentHealth)>>,
    fresh_for: Duration,
    kind: &str,
    check: impl Future<Output = Result<(), (String, Option<String>)>>,
) -> ComponentHealth {
    let mut cache = cache.lock().await;
    if let Some((at, health)) = &*cache
        && at.elapsed() < fresh_for
    {
        return health.clone();
    }
    let started = Instant::now();
    let outcome = tokio::time::timeout(PATIENCE, check).await;
    let (status, detail) = match outcome {
        Ok(Ok(())) => (HealthStatus::Healthy, None),
        Ok(Err((detail, log))) => {
            tracing::warn!(kind, error = log.unwrap_or_default(), "a part is not well");
            (HealthStatus::Unhealthy, Some(detail))
        }
        Err(_) => (HealthStatus::Unhealthy, Some(format!("No answer within {} s.", PATIENCE.as_secs()))),
    };
    let latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let health = ComponentHealth { status, kind: kind.to_owned(), latency_ms, detail };
    *cache = Some((Instant::now(), health.clone()));
    health
}
