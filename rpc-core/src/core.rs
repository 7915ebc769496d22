//! Assembles the service: makes its parts, and starts and stops them together.

use crate::agent::AgentServices;
use crate::agents::{AgentRegistry, AgentsError};
use crate::attachments::{Attachments, AttachmentsError};
use crate::auth::password::Passwords;
use crate::auth::token::Tokens;
use crate::budget::Budgets;
use crate::built_in_tools::{self, BuiltInDeps};
use crate::config::{AgentsConfig, CoreConfig};
use crate::health::HealthChecks;
use crate::limits::RateLimits;
use crate::maintenance;
use crate::model::{self, Model};
use crate::redis;
use crate::rpc::OpenStreams;
use crate::signals::Signals;
use crate::store::{Clock, FileLock, Store, StoreError};
use crate::todo::TodoList;
use std::sync::Arc;
use std::time::Duration;
use threadline_engine::{Engine, EngineConfig};
use threadline_runtime::{Supervisor, TaskFailure};
use threadline_schema::attachments::piece_bytes;
use threadline_signals::{Redis, RedisUrlError};

/// The service without its transports.
pub struct Core {
    pub(crate) config: CoreConfig,
    pub(crate) store: Store,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) passwords: Passwords,
    pub(crate) redis: Option<Redis>,
    pub(crate) limits: Arc<RateLimits>,
    pub(crate) model: Arc<dyn Model>,
    pub(crate) agents: Arc<AgentRegistry>,
    pub(crate) todo: TodoList,
    pub(crate) agent_services: Arc<AgentServices>,
    pub(crate) budgets: Budgets,
    pub(crate) clock: Arc<Clock>,
    pub(crate) engine: Engine,
    pub(crate) supervisor: Supervisor,
    pub(crate) streams: Arc<OpenStreams>,
    pub(crate) health: HealthChecks,
    pub(crate) attachments: Arc<Attachments>,
    _file_lock: Option<FileLock>,
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
        let file_lock = FileLock::of(&config.database)?;
        let store = Store::open(&config.database).await?;
        let clock = Arc::new(Clock::read(&store).await?);
        let redis = redis::open(&config)?;
        let signals = Signals::open(&config.database, redis.as_ref())?;
        let model = model::open(&config.model)?;
        let attachments = Arc::new(Attachments::new(&config, &store, &clock)?);
        let pieces = config.attachments.max_bytes.div_ceil(piece_bytes(config.limits.body_bytes) as u64);
        let supervisor = Supervisor::default();
        let todo = TodoList::new(&store, &clock);
        let tools = built_in_tools::create_all(&BuiltInDeps { todo: todo.clone() });
        let agents = AgentRegistry::new(&config.agent, config.agents.as_ref(), tools, &clock, &supervisor)?;
        let agents = Arc::new(agents);
        let agent_services = Arc::new(AgentServices {
            store: store.clone(),
            clock: clock.clone(),
            model: model.clone(),
            attachments: attachments.clone(),
            history_items: config.agent.history_items,
        });
        let engine_config = EngineConfig {
            run_timeout: config.agent.run_timeout,
            events_retention: config.run_events_retention,
            journal_interval: config.run_events_interval,
            cancel_grace: config.cancel_grace,
            on_unknown_outcome: {
                let agents = agents.clone();
                Arc::new(move |tool| agents.current().record_unknown_outcome(tool))
            },
        };
        let engine = Engine::start(engine_config, store.clone(), clock.clone(), signals, supervisor.clone()).await?;
        let core = Arc::new(Self {
            tokens: Arc::new(Tokens::new(&config.auth, clock.clone())),
            passwords: Passwords::new(),
            limits: Arc::new(RateLimits::new(config.limits.requests_per_minute, pieces, redis.as_ref())),
            agents,
            todo,
            agent_services,
            budgets: Budgets::new(config.budget, clock.clone(), model.name()),
            clock,
            engine,
            supervisor,
            streams: OpenStreams::new(config.limits.streams_per_user),
            health: HealthChecks::default(),
            attachments,
            _file_lock: file_lock,
            config,
            store,
            redis,
            model,
        });
        maintenance::spawn(&core);
        Ok(core)
    }

    /// Refuses new runs, lets active runs end within `grace`, and interrupts the rest. Then ends the background tasks.
    pub async fn drain(&self, grace: Duration) {
        self.engine.drain(grace).await;
        self.agents.stop().await;
        self.supervisor.shut_down();
    }

    /// Waits until a background task has failed without which the service cannot go on.
    pub async fn failed(&self) -> TaskFailure {
        self.supervisor.failed().await
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

impl Drop for Core {
    fn drop(&mut self) {
        // The background tasks of the engine hold what they use.
        self.supervisor.shut_down();
    }
}
