//! Checks whether the parts of the service work.

use crate::Redis;
use crate::agent::AgentRegistry;
use crate::attachments::Attachments;
use crate::error::Error;
use crate::model::Model;
use crate::store::Store;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use threadline_engine::Engine;
use threadline_runtime::{Supervisor, TaskFailure};
use threadline_schema::system::{Component, ComponentHealth, Health, HealthParams, HealthStatus};
use threadline_tools::mcp::McpStatus;
use tokio::sync::Mutex;

/// How long a check of the model's server or of the attachment storage is reused: it is a request to another machine,
/// or a write.
const OUTSIDE_FRESH_FOR: Duration = Duration::from_secs(30);
/// How long a check of the database or of Redis is reused. The health method needs no token, and each check is a query.
const STORE_FRESH_FOR: Duration = Duration::from_secs(1);
/// Maximum time for a check.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum length of what is wrong with MCP servers, in characters.
const DETAIL_CHARS: usize = 2_000;

/// Checks the parts of the service.
pub(crate) struct HealthChecks {
    pub(crate) store: Store,
    pub(crate) engine: Engine,
    pub(crate) agents: Arc<AgentRegistry>,
    pub(crate) redis: Option<Redis>,
    pub(crate) model: Arc<dyn Model>,
    pub(crate) attachments: Arc<Attachments>,
    pub(crate) supervisor: Supervisor,
    pub(crate) latest: LatestChecks,
}

/// The latest check of each part. Callers that come during a check wait for its result.
#[derive(Debug, Default)]
pub(crate) struct LatestChecks {
    database: Latest,
    redis: Latest,
    model: Latest,
    attachments: Latest,
}

type Latest = Mutex<Option<(Instant, ComponentHealth)>>;

impl HealthChecks {
    /// Returns the state of the parts that were asked for.
    pub(crate) async fn check(&self, params: HealthParams) -> Health {
        let wanted = |component| params.component.is_none_or(|only| only == component);
        let mut components = BTreeMap::new();
        if wanted(Component::Db) {
            components.insert(Component::Db, self.database().await);
        }
        if let Some(redis) = self.redis.as_ref().filter(|_| wanted(Component::Redis)) {
            components.insert(Component::Redis, self.redis(redis).await);
        }
        if wanted(Component::Openrouter) {
            components.insert(Component::Openrouter, self.model().await);
        }
        if wanted(Component::Attachments) {
            components.insert(Component::Attachments, self.attachments().await);
        }
        let servers = if wanted(Component::Mcp) { self.agents.current().mcp_status() } else { Vec::new() };
        if !servers.is_empty() {
            components.insert(Component::Mcp, mcp_servers(&servers));
        }
        let failure = self.supervisor.failure();
        if params.component == Some(Component::Tasks) || params.component.is_none() && failure.is_some() {
            components.insert(Component::Tasks, background_tasks(failure.as_ref()));
        }
        // Without the model, conversations can still be read: the service is degraded. Without the database nothing
        // can.
        let status = components
            .iter()
            .map(|(component, health)| match (component, health.status) {
                (Component::Openrouter, HealthStatus::Unhealthy) if params.component.is_none() => {
                    HealthStatus::Degraded
                }
                (_, status) => status,
            })
            .max()
            .unwrap_or(HealthStatus::Healthy);
        Health { status, version: env!("CARGO_PKG_VERSION").to_owned(), components }
    }

    async fn database(&self) -> ComponentHealth {
        let check = async {
            let answer = self.store.ping().await.map_err(|error| Error::from(error).into_parts());
            answer.map_err(|(public, log)| (public.message, log))?;
            // A full disk, or a primary that was demoted, still answers reads.
            self.engine.check_writable().await.map_err(|error| {
                let public = if error.is_disk_full() {
                    "The disk of the database is full. Free space, or enlarge it: then writes work again, without a restart."
                } else {
                    "The database can be read, and takes no writes."
                };
                let (_, log) = Error::from(error).into_parts();
                (public.to_owned(), log)
            })
        };
        cached(&self.latest.database, STORE_FRESH_FOR, self.store.kind(), check).await
    }

    /// Nothing stops without Redis, so it is never worse than degraded.
    async fn redis(&self, redis: &Redis) -> ComponentHealth {
        let check = async { redis.ping().await.map_err(|error| ("Redis does not answer.".to_owned(), Some(error))) };
        let mut health = cached(&self.latest.redis, STORE_FRESH_FOR, "redis", check).await;
        health.status = health.status.min(HealthStatus::Degraded);
        health
    }

    async fn model(&self) -> ComponentHealth {
        let check = async {
            let answer = self.model.check_health().await;
            answer.map_err(|error| (error.public_message().to_owned(), Some(error.to_string())))
        };
        cached(&self.latest.model, OUTSIDE_FRESH_FOR, self.model.kind(), check).await
    }

    /// Conversations continue without files, so it is never worse than degraded.
    async fn attachments(&self) -> ComponentHealth {
        let check = async {
            let public = "The storage for attachments does not work.".to_owned();
            self.attachments.check_storage().await.map_err(|error| (public, Some(error.to_string())))
        };
        let kind = self.attachments.storage_kind();
        let mut health = cached(&self.latest.attachments, OUTSIDE_FRESH_FOR, kind, check).await;
        health.status = health.status.min(HealthStatus::Degraded);
        health
    }
}

/// After a failure the process drains and exits. Until then a load balancer sees it here.
fn background_tasks(failure: Option<&TaskFailure>) -> ComponentHealth {
    let (status, detail) = match failure {
        None => (HealthStatus::Healthy, None),
        Some(failure) => {
            let detail = format!("The background task {} has failed. This process shuts down.", failure.task.name());
            (HealthStatus::Unhealthy, Some(detail))
        }
    };
    ComponentHealth { status, kind: "supervised".to_owned(), latency_ms: 0, detail }
}

/// Conversations continue without a server, so it is never worse than degraded. Why one is not connected is in the log:
/// the text can name programs and addresses.
fn mcp_servers(servers: &[(Arc<str>, McpStatus)]) -> ComponentHealth {
    let mut problems = Vec::new();
    for (name, McpStatus { error, left_out, .. }) in servers {
        if error.is_some() {
            problems.push(format!("The MCP server {name} is not connected."));
        }
        problems.extend((!left_out.is_empty()).then(|| format!("Of the MCP server {name}: {}.", left_out.join("; "))));
    }
    let are_connected = servers.iter().all(|(_, server)| server.error.is_none() && !server.is_refused);
    let status = if are_connected { HealthStatus::Healthy } else { HealthStatus::Degraded };
    let detail: String = problems.join(" ").chars().take(DETAIL_CHARS).collect();
    ComponentHealth { status, kind: "mcp".to_owned(), latency_ms: 0, detail: (!detail.is_empty()).then_some(detail) }
}

/// Returns the latest result while it is fresh; otherwise checks. The error of a check is a public text, and one for
/// the log.
async fn cached(
    latest: &Latest,
    fresh_for: Duration,
    kind: &str,
    check: impl Future<Output = Result<(), (String, Option<String>)>>,
) -> ComponentHealth {
    let mut latest = latest.lock().await;
    if let Some((at, health)) = &*latest
        && at.elapsed() < fresh_for
    {
        return health.clone();
    }
    let started = Instant::now();
    let outcome = tokio::time::timeout(TIMEOUT, check).await;
    let (status, detail) = match outcome {
        Ok(Ok(())) => (HealthStatus::Healthy, None),
        Ok(Err((detail, log))) => {
            tracing::warn!(kind, error = log.unwrap_or_default(), "a part of the service does not work");
            (HealthStatus::Unhealthy, Some(detail))
        }
        Err(_) => (HealthStatus::Unhealthy, Some(format!("No answer within {} s.", TIMEOUT.as_secs()))),
    };
    let latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let health = ComponentHealth { status, kind: kind.to_owned(), latency_ms, detail };
    *latest = Some((Instant::now(), health.clone()));
    health
}
