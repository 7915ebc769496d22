//! The service's collaborators, brought up and taken down together.

use crate::agents::{Agents, AgentsError};
use crate::attachments::{Attachments, AttachmentsError};
use crate::auth::password::Passwords;
use crate::auth::token::Tokens;
use crate::config::{AgentsConfig, CoreConfig};
use crate::health::HealthChecks;
use crate::limits::RateLimits;
use crate::model::{self, Model};
use crate::redis;
use crate::rpc::OpenStreams;
use crate::runs::{self, Hub, Leases};
use crate::signals::Signals;
use crate::store::Clock;
use crate::store::{SoleServer, Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::attachments::piece_bytes;
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::ProcessId;
use threadline_signals::{Redis, RedisUrlError};
use tokio_util::sync::CancellationToken;

/// The service without its transports.
pub struct Core {
    /// Names this process as the owner of its runs.
    pub(crate) id: ProcessId,
    pub(crate) config: CoreConfig,
    pub(crate) store: Store,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) passwords: Passwords,
    pub(crate) redis: Option<Redis>,
    pub(crate) signals: Signals,
    pub(crate) limits: Arc<RateLimits>,
    pub(crate) model: Arc<dyn Model>,
    pub(crate) agents: Agents,
    pub(crate) hub: Hub,
    pub(crate) clock: Clock,
    pub(crate) leases: Leases,
    pub(crate) streams: Arc<OpenStreams>,
    pub(crate) health: HealthChecks,
    pub(crate) attachments: Attachments,
    housekeeping: CancellationToken,
    _sole_server: Option<SoleServer>,
}

/// Why the core did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database did not open, or its schema is not the one this binary knows.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Redis cannot be used as it is configured.
    #[error(transparent)]
    Redis(#[from] RedisUrlError),
    /// The agents cannot be had as they are configured.
    #[error(transparent)]
    Agents(#[from] AgentsError),
    /// The storage for attachments cannot be used as it is configured.
    #[error(transparent)]
    Attachments(#[from] AttachmentsError),
    /// The client of the model's server could not be made.
    #[error("the model's client could not be made: {0}")]
    Model(#[from] reqwest::Error),
}

impl Core {
    /// Opens the database, brings its schema up to date where that is wanted, closes what a process that died has left
    /// open, and starts the work on the side.
    ///
    /// # Errors
    /// When the database or the model's client cannot be set up.
    pub async fn start(config: CoreConfig) -> Result<Arc<Self>, StartError> {
        let sole_server = SoleServer::of(&config.database)?;
        let store = Store::open(&config.database).await?;
        let clock = Clock::read(&store).await?;
        let redis = redis::open(&config)?;
        let signals = Signals::open(&config.database, redis.as_ref())?;
        let model = model::open(&config.model)?;
        let attachments = Attachments::new(&config)?;
        let pieces = config.attachments.max_bytes.div_ceil(piece_bytes(config.limits.body_bytes) as u64);
        let core = Arc::new(Self {
            id: ProcessId(uuid::Uuid::now_v7()),
            tokens: Arc::new(Tokens::new(&config.auth)),
            passwords: Passwords::new(),
            limits: Arc::new(RateLimits::new(config.limits.requests_per_minute, pieces, redis.as_ref())),
            agents: Agents::new(&config.agent, config.agents.as_ref())?,
            hub: Hub::new(config.run_events_retention),
            clock,
            leases: Leases::new(),
            streams: OpenStreams::new(config.limits.streams_per_user),
            health: HealthChecks::default(),
            attachments,
            housekeeping: CancellationToken::new(),
            _sole_server: sole_server,
            config,
            store,
            redis,
            signals,
            model,
        });
        if core.store.kind() == "sqlite" {
            runs::close_orphans(&core).await?;
        }
        runs::spawn_housekeeping(&core, core.housekeeping.clone());
        runs::spawn_journal(&core, core.housekeeping.clone());
        runs::spawn_listener(&core, core.housekeeping.clone());
        Ok(core)
    }

    /// Refuses new runs, waits for those that answer, and interrupts what is left after `patience`.
    pub async fn drain(&self, patience: Duration) {
        self.hub.drain(patience).await;
        self.agents.stop().await;
        self.housekeeping.cancel();
    }

    /// Has new runs answered by these agents; runs that have begun go on with theirs.
    ///
    /// # Errors
    /// When a tool cannot be made as it is configured; nothing changes then.
    pub fn replace_agents(&self, agents: &AgentsConfig) -> Result<(), AgentsError> {
        self.agents.replace(agents)
    }

    /// The store, for the commands of the binary.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The tokens, for the commands of the binary.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The model, for the commands of the binary.
    pub fn model(&self) -> &Arc<dyn Model> {
        &self.model
    }

    /// Until when this process is believed to live, said now.
    pub(crate) fn lease_until(&self) -> UtcTime {
        (self.clock.now().utc() + runs::LEASE).into()
    }

    /// What is measured now and then instead of at every change.
    pub(crate) fn record_gauges(&self) {
        let pool = self.store.pool_status();
        #[allow(clippy::cast_precision_loss, reason = "a gauge holds floats")]
        for (state, count) in [("open", pool.size), ("in_use", pool.in_use), ("waiting", pool.waiting)] {
            metrics::gauge!("threadline_db_connections", "state" => state).set(count as f64);
        }
        #[allow(clippy::cast_precision_loss, reason = "a gauge holds floats")]
        metrics::gauge!("threadline_rate_limit_keys").set(self.limits.len() as f64);
    }
}
