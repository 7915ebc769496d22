//! Assembles the service: makes its parts, registers the methods, and starts and stops everything together.
//!
//! Each part gets what it uses, and no other module takes the [`Core`].

use crate::accounts::{AccountExport, Accounts, Erasure};
use crate::agent::{AgentRegistry, AgentServices, AgentsError, ContextWindows, ContinuedRuns, RunningSummaries};
use crate::attachments::{Attachments, AttachmentsError, MAX_PER_MESSAGE};
use crate::audit::AuditLog;
use crate::auth::foreign::ForeignTokens;
use crate::auth::login_guard::LoginGuard;
use crate::auth::service_keys::ServiceKeys;
use crate::auth::standings::Standings;
use crate::auth::token::Tokens;
use crate::auth::verifier::TokenVerifier;
use crate::budget::Budgets;
use crate::built_in_tools::{self, BuiltInDeps};
use crate::config::{AgentsConfig, CoreConfig, ModelConfig, Registration};
use crate::error_counts::ErrorCounts;
use crate::health::{HealthChecks, LatestChecks};
use crate::input::{AnswerRuns, PendingAnswers, UserMessages, WidgetActions};
use crate::limits::{KeyLimits, RateLimits, RegistrationLimit};
use crate::maintenance::Maintenance;
use crate::methods::{
    AdminMethods, AttachmentMethods, AuthMethods, InputMethods, ItemMethods, RunMethods, SystemMethods, ThreadMethods,
    UsageMethods,
};
use crate::model::{self, Model};
use crate::process_report::ProcessReport;
use crate::redis;
use crate::retention::ThreadRetention;
use crate::rpc::pipeline::{Authenticator, CallLimiter, Pipeline, Steps};
use crate::rpc::registry::{DuplicateMethod, Registry};
use crate::rpc::{OpenStreams, RpcHttpConfig, RpcServer, RpcServerParts};
use crate::signals::Signals;
use crate::store::{Clock, FileLock, Store, StoreError};
use crate::todo::{TaskMethods, TodoList};
use async_recursion::async_recursion as boxed;
use std::sync::Arc;
use std::time::Duration;
use threadline_engine::{Engine, EngineConfig};
use threadline_runtime::{Supervisor, TaskKind};
use threadline_schema::attachments::piece_bytes;
use threadline_schema::ids::{RunId, UserId};
use threadline_schema::system::MessageLimits;
use threadline_signals::{Redis, RedisUrlError};

/// The service: its parts, put together. When it is dropped, the background tasks end.
pub struct Core {
    store: Store,
    model: Arc<dyn Model>,
    agents: Arc<AgentRegistry>,
    engine: Engine,
    clock: Arc<Clock>,
    errors: Arc<ErrorCounts>,
    process: Arc<ProcessReport>,
    rpc: RpcServerParts,
    tokens: Arc<Tokens>,
    registration: Registration,
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
    /// Redis cannot be opened.
    #[error(transparent)]
    OpenRedis(#[from] redis::RedisOpenError),
    /// The agents cannot be created as they are configured.
    #[error(transparent)]
    Agents(#[from] AgentsError),
    /// The storage for attachments cannot be used as it is configured.
    #[error(transparent)]
    Attachments(#[from] AttachmentsError),
    /// The client of the model's server could not be made.
    #[error("the model's client could not be made: {0}")]
    Model(#[from] reqwest::Error),
    /// The client of the identity provider could not be made.
    #[error("the identity provider's client could not be made: {0}")]
    Provider(#[source] reqwest::Error),
    /// Two handlers have one method name, which a test of the contract rules out.
    #[error(transparent)]
    Methods(#[from] DuplicateMethod),
}

impl Core {
    /// Opens the database, updates its schema if that is configured, closes the runs that a dead process has left open,
    /// and starts the background tasks. `supervisor` watches them; dropping the core shuts it down.
    ///
    /// # Errors
    /// When the database, Redis, the storage for attachments, a tool or the model's client cannot be set up.
    #[boxed]
    pub async fn start(config: CoreConfig, supervisor: &Supervisor) -> Result<Arc<Self>, StartError> {
        let file_lock = FileLock::acquire(&config.database)?;
        let store = Store::open(&config.database).await?;
        let clock = Arc::new(Clock::read(&store).await?);
        let redis = redis::open(&config)?;
        if let Some(redis) = redis.clone() {
            // So that the first request does not wait for the connection.
            supervisor.spawn(TaskKind::Connection, async move { drop(redis.ping().await) });
        }
        let signals = Signals::open(&config.database, redis.as_ref(), supervisor)?;
        let model = model::open(&config.model)?;
        let attachments = Arc::new(Attachments::new(&config, &store, &clock)?);
        let todo = TodoList::new(&store, &clock);
        let tools = built_in_tools::create_all(&BuiltInDeps { todo: todo.clone() });
        let errors: Arc<ErrorCounts> = Arc::default();
        let agents = AgentRegistry::new(&config.agent, config.agents.as_ref(), tools, &clock, &errors, supervisor)?;
        let agents = Arc::new(agents);
        let standings = Standings::new(store.clone(), clock.clone(), signals.access());
        standings.start(supervisor).await?;
        let audit = AuditLog::start(store.clone(), clock.clone(), supervisor);
        let keys = ServiceKeys::new(store.clone(), clock.clone(), standings.clone());
        let foreign = match config.provider.clone() {
            Some(provider) => {
                let foreign = ForeignTokens::new(provider, store.clone(), clock.clone(), standings.clone());
                Some(Arc::new(foreign.map_err(StartError::Provider)?))
            }
            None => None,
        };
        if let Some(foreign) = &foreign {
            foreign.spawn(supervisor);
        }
        let tokens = Arc::new(Tokens::new(&config.auth, clock.clone()));
        let verifier = TokenVerifier { tokens: tokens.clone(), foreign };
        let budgets = Budgets::new(config.budget, agents.clone(), store.clone(), clock.clone(), model.name());
        let budgets = Arc::new(budgets);
        let services = Arc::new(AgentServices {
            store: store.clone(),
            clock: clock.clone(),
            model: model.clone(),
            attachments: attachments.clone(),
            history_items: config.agent.history_items,
            windows: Arc::new(ContextWindows::new(config.agent.context_tokens)),
            summaries: RunningSummaries::default(),
            budgets: budgets.clone(),
            supervisor: supervisor.clone(),
        });
        let engine_config = engine_config(&config, &agents, &services, &attachments);
        let engine = Engine::start(engine_config, store.clone(), clock.clone(), signals, supervisor.clone()).await?;
        let pieces = config.attachments.max_bytes.div_ceil(piece_bytes(config.limits.body_bytes) as u64);
        let limits = Arc::new(RateLimits::new(config.limits.requests_per_minute, pieces, redis.as_ref()));
        let redis_for_limits = redis.clone();
        let registrations = RegistrationLimit::new(config.limits.registrations_per_hour, redis.as_ref());
        let registrations = Arc::new(registrations);
        let process = ProcessReport::new(store.clone(), clock.clone(), engine.process_id(), &config.process);
        let process = Arc::new(process);
        let maintenance = Maintenance {
            errors: errors.clone(),
            process: process.clone(),
            budgets: budgets.clone(),
            engine: engine.clone(),
            store: store.clone(),
            clock: clock.clone(),
            attachments: attachments.clone(),
            limits: limits.clone(),
            registrations: registrations.clone(),
            audit_retention: config.audit_retention,
            max_idle: config.session_max_idle,
            retention: ThreadRetention {
                engine: engine.clone(),
                store: store.clone(),
                clock: clock.clone(),
                agents: agents.clone(),
                service: config.retention,
                temporary: config.temporary_lifetime,
            },
        };
        maintenance.spawn(supervisor);
        let parts = MethodParts {
            store: store.clone(),
            clock: clock.clone(),
            redis,
            model: model.clone(),
            agents: agents.clone(),
            services,
            engine: engine.clone(),
            attachments: attachments.clone(),
            tokens: tokens.clone(),
            standings: standings.clone(),
            audit: audit.clone(),
            todo,
            budgets,
            supervisor: supervisor.clone(),
        };
        let pipeline = Pipeline::new(Steps {
            registry: parts.register(&config)?,
            authenticator: Authenticator::new(verifier, keys, attachments, standings),
            limiter: {
                let engine = engine.clone();
                let take_free_subscribe =
                    move |run_id: RunId, user_id: UserId| engine.take_free_subscribe(user_id, run_id);
                CallLimiter::new(limits, registrations, KeyLimits::new(redis_for_limits), Box::new(take_free_subscribe))
            },
            audit,
            store: store.clone(),
            max_params_bytes: config.limits.body_bytes,
        });
        let rpc = RpcServerParts {
            pipeline,
            trusted_proxies: config.trusted_proxies.clone(),
            max_batch_entries: config.limits.batch_entries,
            supervisor: supervisor.clone(),
        };
        Ok(Arc::new(Self {
            store,
            model,
            agents,
            engine,
            clock,
            errors,
            process,
            rpc,
            tokens,
            registration: config.registration,
            _file_lock: file_lock,
        }))
    }

    /// Creates a server for the methods. Keep the core for as long as it is used.
    pub fn rpc_server(&self, http: RpcHttpConfig) -> RpcServer {
        RpcServer::new(self.rpc.clone(), http)
    }

    /// Refuses new runs, lets active runs end within `grace`, and interrupts the rest. Then ends the background tasks.
    #[boxed]
    pub async fn drain(&self, grace: Duration) {
        self.process.write_drain().await;
        self.engine.drain(grace).await;
        self.errors.flush(&self.store, &self.clock).await;
        self.agents.stop().await;
        self.rpc.supervisor.shut_down();
    }

    /// Replaces the agents of new runs; runs that have begun keep theirs.
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

    /// Who can register.
    pub fn registration(&self) -> Registration {
        self.registration
    }

    /// The model, for the commands of the binary.
    pub fn model(&self) -> &Arc<dyn Model> {
        &self.model
    }
}

fn engine_config(
    config: &CoreConfig,
    agents: &Arc<AgentRegistry>,
    services: &Arc<AgentServices>,
    attachments: &Arc<Attachments>,
) -> EngineConfig {
    let drivers = Arc::new(ContinuedRuns { services: services.clone(), agents: agents.clone() });
    let attachments = attachments.clone();
    let agents = agents.clone();
    EngineConfig {
        run_timeout: config.agent.run_timeout,
        events_retention: config.run_events_retention,
        journal_interval: config.run_events_interval,
        cancel_grace: config.cancel_grace,
        renew_item: Arc::new(move |item| attachments.renew_previews(item)),
        drivers,
        on_unknown_outcome: Arc::new(move |tool| agents.current().record_unknown_outcome(tool)),
    }
}

/// The parts that the handlers of the methods use.
struct MethodParts {
    store: Store,
    clock: Arc<Clock>,
    redis: Option<Redis>,
    model: Arc<dyn Model>,
    agents: Arc<AgentRegistry>,
    services: Arc<AgentServices>,
    engine: Engine,
    attachments: Arc<Attachments>,
    tokens: Arc<Tokens>,
    standings: Arc<Standings>,
    audit: AuditLog,
    todo: TodoList,
    budgets: Arc<Budgets>,
    supervisor: Supervisor,
}

impl MethodParts {
    /// Registers every method of the contract.
    fn register(self, config: &CoreConfig) -> Result<Registry, DuplicateMethod> {
        let Self {
            store,
            clock,
            redis,
            model,
            agents,
            services,
            engine,
            attachments,
            tokens,
            standings,
            audit,
            todo,
            budgets,
            supervisor,
        } = self;
        let streams = Arc::new(OpenStreams::new(config.limits.streams_per_user, standings.clone()));
        let runs = Arc::new(AnswerRuns {
            store: store.clone(),
            engine: engine.clone(),
            agents: agents.clone(),
            services: services.clone(),
            budgets: budgets.clone(),
        });
        let threads = ThreadMethods {
            store: store.clone(),
            engine: engine.clone(),
            clock: clock.clone(),
            streams: streams.clone(),
            messages: UserMessages {
                runs: runs.clone(),
                attachments: attachments.clone(),
                clock: clock.clone(),
                limits: config.limits,
            },
            answers: PendingAnswers { runs },
            actions: WidgetActions { store: store.clone(), engine: engine.clone(), agents: agents.clone(), services },
        };
        let transcription_model = match &config.model {
            ModelConfig::OpenAi(model) => model.transcription_model.clone(),
            ModelConfig::Demo(_) => None,
        };
        let input = InputMethods {
            model: model.clone(),
            transcription_model: transcription_model.unwrap_or_default(),
            agents: agents.clone(),
            budgets: budgets.clone(),
            engine: engine.clone(),
            supervisor: supervisor.clone(),
        };
        let mut registry = Registry::default();
        let admin = AdminMethods {
            store: store.clone(),
            clock: clock.clone(),
            accounts: Accounts::new(store.clone(), clock.clone()),
            standings: standings.clone(),
            agents: agents.clone(),
            budgets: budgets.clone(),
            engine: engine.clone(),
            audit,
            agents_file: config.agents_file.clone(),
            settings: config.shown_settings.clone(),
        };
        admin.register(&mut registry);
        let auth = AuthMethods {
            store: store.clone(),
            accounts: Accounts::new(store.clone(), clock.clone()),
            logins: LoginGuard::new(store.clone(), clock.clone()),
            export: AccountExport::new(store.clone(), clock.clone(), attachments.clone()),
            erasure: {
                let (store, clock) = (store.clone(), clock.clone());
                let erasure = Arc::new(Erasure::in_server(store, clock, attachments.clone(), engine.clone()));
                erasure.spawn(&supervisor);
                erasure
            },
            agents: agents.clone(),
            clock: clock.clone(),
            tokens,
            standings,
            registration: config.registration,
        };
        auth.register(&mut registry);
        let health = HealthChecks {
            store: store.clone(),
            engine: engine.clone(),
            agents,
            redis,
            model: model.clone(),
            attachments: attachments.clone(),
            supervisor,
            latest: LatestChecks::default(),
        };
        threads.register(&mut registry);
        ItemMethods { store: store.clone(), clock, attachments: attachments.clone() }.register(&mut registry);
        RunMethods { engine, streams }.register(&mut registry);
        TaskMethods { todo }.register(&mut registry);
        UsageMethods { budgets, store }.register(&mut registry);
        AttachmentMethods { attachments }.register(&mut registry);
        input.register(&mut registry);
        SystemMethods { health, limits: message_limits(config) }.register(&mut registry);
        registry.build()
    }
}

/// The limits that `system.limits` returns to front ends.
fn message_limits(config: &CoreConfig) -> MessageLimits {
    MessageLimits {
        message_chars: config.limits.message_chars,
        attachments: MAX_PER_MESSAGE,
        attachment_bytes: config.attachments.max_bytes,
        attachment_types: config.attachments.types.to_vec(),
        temporary_hours: config.temporary_lifetime.as_secs() / 3600,
        retention_days: config.retention.map(|retention| retention.as_secs() / 86_400),
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // The background tasks of the engine hold what they use.
        self.rpc.supervisor.shut_down();
    }
}
