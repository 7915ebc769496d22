//! PostgreSQL: opens connections, and the pool.

mod connection;
mod hosts;
mod open_error;
mod pool_state;
mod pooler;
mod row;
mod setup;
mod sqlstate;
mod statement;
pub(super) mod unit;
mod url;

pub(super) use self::connection::PgConn;

use self::hosts::Hosts;
use self::open_error::OpenError;
use self::pool_state::PoolState;
use self::url::UrlOptions;
use super::connections::Connections;
use super::error::{StoreError, StoreResult};
use super::tls;
use crate::config::{DatabaseConfig, PreparedStatements};
use deadpool::managed::{Manager, Metrics, Pool, QueueMode, RecycleError, RecycleResult};
use diesel_async::SimpleAsyncConnection;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::error::Chain;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::{AsyncMessage, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Time limit of a statement. Normal statements take far less: one that reaches it waits for a lock or a failing disk.
pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// Time limit of a pause inside a transaction. It frees the locks of a process that has stopped in a transaction.
const TRANSACTION_PAUSE: Duration = Duration::from_secs(30);

/// Lifts the time limit for idle sessions that the operator may have set. The session that shows that this process is
/// alive is always idle, and the pool closes its own idle connections. A server before PostgreSQL 14 has no such limit.
const NEVER_TOO_IDLE: &str = "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'";

/// TCP keepalive: a connection without traffic is probed after this time, and then again at the interval. It is closed
/// after this number of probes without an answer.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_RETRIES: u32 = 3;
/// How long sent data may remain unacknowledged before the connection is closed. The kernel of the other machine
/// acknowledges it, so a busy server does not delay that.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);
/// Time limit for connecting to one address, including the login if there is another address to try. It is short, so
/// that there is time for the others.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Time limit for opening a session outside the pool. A frozen server may still accept a connection.
const SESSION_TIMEOUT: Duration = Duration::from_secs(5);

/// Time limit for the answer to the first statement of a connection, if the pool has others. A pooler in session mode
/// accepts connections that it has no session for: the caller waits for one of the others then.
const FIRST_ANSWER: Duration = Duration::from_secs(1);

/// A connection that was idle for longer is checked with a query before it is used, because the server may be gone
/// without having closed it.
const CHECK_AFTER: Duration = Duration::from_secs(1);
/// Time limit of that check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// A server, and how to connect to it.
#[derive(Clone)]
pub(super) struct Server {
    config: Config,
    hosts: Hosts,
    tls: MakeRustlsConnect,
    options: UrlOptions,
}

impl Server {
    /// Reads a `postgres://` URL.
    ///
    /// # Errors
    /// [`StoreError::Config`] if the URL is invalid. The text contains no part of the URL except names of parameters.
    pub(super) fn new(database: &DatabaseConfig) -> StoreResult<Self> {
        Self::at(&database.url, database.pool_timeout)
    }

    /// Reads the URL for direct connections, without a pooler, if one is configured. Otherwise reads the normal URL.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub(super) fn direct(database: &DatabaseConfig) -> StoreResult<Self> {
        Self::at(database.direct_url.as_ref().unwrap_or(&database.url), database.pool_timeout)
    }

    fn at(url: &SecretString, pool_timeout: Duration) -> StoreResult<Self> {
        let (url, security) = tls::Security::take_from(url.expose_secret())?;
        let (url, options) = UrlOptions::take_from(&url)?;
        let mut config: Config =
            url.parse().map_err(|error: tokio_postgres::Error| StoreError::Config(Chain(&error).to_string()))?;
        let hosts = config.get_hosts().len().max(config.get_hostaddrs().len());
        if hosts == 0 {
            return Err(StoreError::Config("the URL names no host; write postgres://user@host/database".to_owned()));
        }
        let tls = security.apply(&mut config)?;
        if config.get_application_name().is_none() {
            config.application_name("threadline");
        }
        if config.get_connect_timeout().is_none() {
            let share = pool_timeout / u32::try_from(hosts).unwrap_or(u32::MAX).saturating_add(1);
            config.connect_timeout(share.min(CONNECT_TIMEOUT));
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(UNACKNOWLEDGED);
        }
        if !url.contains("keepalives_") {
            config
                .keepalives_idle(KEEPALIVE_IDLE)
                .keepalives_interval(KEEPALIVE_INTERVAL)
                .keepalives_retries(KEEPALIVE_RETRIES);
        }
        if hosts > 1 && !url.contains("target_session_attrs=") {
            // With several hosts, connect to the one that accepts writes.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        let limit = config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT);
        Ok(Self { hosts: Hosts::of(&config, limit), config, tls, options })
    }

    /// Opens a connection without time limits for statements. A task of the current runtime drives it, and ends when
    /// the connection is closed.
    ///
    /// # Errors
    /// If the server cannot be reached, or refuses the connection.
    async fn connect(&self, state: &Arc<PoolState>) -> Result<PgConn, OpenError> {
        let (client, connection) = self.hosts.connect(&self.tls).await?;
        // Ends when the client is dropped, or when the server closes the connection.
        #[expect(
            clippy::disallowed_methods,
            reason = "ends with its connection, and the user of that one gets the error"
        )]
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %Chain(&error), "lost a connection to PostgreSQL");
            }
        });
        let is_pooler = {
            let mut first_answer = std::pin::pin!(pooler::is_pooler(&client));
            loop {
                match tokio::time::timeout(FIRST_ANSWER, &mut first_answer).await {
                    Ok(answer) => break answer.map_err(|error| OpenError::of(&error))?,
                    Err(_) if state.has_open_connections() => {
                        let text = format!("no answer to the first statement within {FIRST_ANSWER:?}");
                        return Err(OpenError::Full(text));
                    }
                    Err(_) => {}
                }
            }
        };
        Ok(PgConn::new(client, is_pooler, state.clone()))
    }

    /// Opens a connection outside the pool, which prepares no statement by name. Checks that the database and a pooler
    /// are set up so that they can be used.
    ///
    /// # Errors
    /// If the server cannot be reached, refuses the connection, or cannot be used.
    pub(super) async fn connect_alone(&self) -> Result<PgConn, OpenError> {
        let connection = self.connect(&Arc::new(PoolState::new(PreparedStatements::Off))).await?;
        setup::check(connection.client(), connection.is_pooler()).await?;
        Ok(connection)
    }

    async fn connect_for_pool(&self, state: &Arc<PoolState>) -> Result<PgConn, OpenError> {
        let mut connection = self.connect(state).await?;
        if !connection.is_pooler() {
            let settings = format!(
                "SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {}; \
                 SET default_transaction_isolation = 'read committed'; {NEVER_TOO_IDLE}",
                STATEMENT_TIMEOUT.as_millis(),
                TRANSACTION_PAUSE.as_millis(),
            );
            connection.batch_execute(&settings).await.map_err(OpenError::Settings)?;
        }
        Ok(connection)
    }
}

/// Opens connections outside the pool that receive notifications (`LISTEN`).
pub struct Listener {
    server: Server,
    /// Whether the operator has configured a URL for direct connections.
    is_direct: bool,
}

impl Listener {
    /// Returns the listener of a database; `None` for SQLite, which has no notifications.
    ///
    /// # Errors
    /// [`StoreError::Config`] if the URL is invalid.
    pub fn of(database: &DatabaseConfig) -> StoreResult<Option<Self>> {
        if !database.is_postgres() {
            return Ok(None);
        }
        Ok(Some(Self { server: Server::direct(database)?, is_direct: database.direct_url.is_some() }))
    }

    /// Opens a connection. Returns it with the stream of its notifications, which must be polled: that drives the
    /// connection. Returns `None` behind a pooler, which may run each statement in another session, so that no
    /// notification would arrive.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the server cannot be reached.
    pub async fn connect(&self) -> StoreResult<Option<(Client, impl Stream<Item = Message> + use<>)>> {
        let Session { client, messages, is_pooler } = self.server.session().await?;
        Ok((self.is_direct || !is_pooler).then_some((client, messages)))
    }
}

type Message = Result<AsyncMessage, tokio_postgres::Error>;

/// A connection outside the pool, which its user drives.
pub(super) struct Session {
    pub(super) client: Client,
    /// Notifications of the server. The client makes progress only while this stream is polled.
    pub(super) messages: BoxStream<'static, Message>,
    /// Whether the connection leads to a pooler instead of the server.
    pub(super) is_pooler: bool,
}

impl Server {
    /// Opens a connection outside the pool.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the server cannot be reached.
    pub(super) async fn session(&self) -> StoreResult<Session> {
        let session = tokio::time::timeout(SESSION_TIMEOUT, Box::pin(self.begin_session())).await;
        session.unwrap_or_else(|_| Err(StoreError::unavailable(format!("no answer within {SESSION_TIMEOUT:?}"))))
    }

    async fn begin_session(&self) -> StoreResult<Session> {
        let (client, mut connection) = self.hosts.connect(&self.tls).await?;
        let mut messages = futures::stream::poll_fn(move |context| connection.poll_message(context)).boxed();
        let prepare = async {
            let is_pooler = pooler::is_pooler(&client).await?;
            if !is_pooler {
                client.batch_execute(NEVER_TOO_IDLE).await?;
            }
            Ok::<_, tokio_postgres::Error>(is_pooler)
        };
        let is_pooler = tokio::select! {
            is_pooler = prepare => is_pooler.map_err(StoreError::unavailable)?,
            () = async { while let Some(Ok(_)) = messages.next().await {} } => {
                return Err(StoreError::unavailable("the connection was closed"));
            }
        };
        Ok(Session { client, messages, is_pooler })
    }
}

/// Returns the name of the database in the URL.
pub(super) fn database_name(config: &DatabaseConfig) -> StoreResult<String> {
    let Server { config, .. } = Server::new(config)?;
    // As in libpq: without a name, it is the name of the user.
    Ok(config.get_dbname().or(config.get_user()).unwrap_or_default().to_owned())
}

/// Opens the connections of the pool, and decides which are used again.
pub(super) struct PgManager {
    server: Server,
    /// The server without a pooler, if that is configured.
    direct: Server,
    state: Arc<PoolState>,
}

impl PgManager {
    /// Returns the server for direct connections, without a pooler if that is configured.
    pub(super) fn direct(&self) -> &Server {
        &self.direct
    }

    /// Marks all open connections for replacement before they are used again.
    pub(super) fn doubt_all(&self) {
        self.state.doubt(self.state.generation());
    }
}

impl Manager for PgManager {
    type Type = PgConn;
    type Error = OpenError;

    async fn create(&self) -> Result<PgConn, OpenError> {
        // This future is large and rarely used. Boxed, it does not enlarge the future of each query.
        Box::pin(self.server.connect_for_pool(&self.state)).await
    }

    async fn recycle(&self, connection: &mut PgConn, _: &Metrics) -> RecycleResult<OpenError> {
        if let Some(why) = connection.unusable() {
            tracing::debug!(why, "closing a connection to PostgreSQL");
            return Err(RecycleError::message(why));
        }
        if connection.idle() > CHECK_AFTER
            && !matches!(tokio::time::timeout(CHECK_TIMEOUT, connection.check()).await, Ok(Ok(())))
        {
            connection.doubt_all();
            return Err(RecycleError::message("the server did not answer the check"));
        }
        Ok(())
    }
}

/// Checks that the server and a pooler can be reached, and are set up so that they can be used.
///
/// # Errors
/// [`StoreError::Config`] if not, [`StoreError::Unavailable`] if there is no answer in time.
pub(super) async fn check(config: &DatabaseConfig) -> StoreResult<()> {
    let server = Server::new(config)?;
    let connected = tokio::time::timeout(config.pool_timeout, Box::pin(server.connect_alone())).await;
    let no_answer = |_| StoreError::unavailable(format!("PostgreSQL did not answer within {:?}", config.pool_timeout));
    connected.map_err(no_answer)?.map(drop).map_err(StoreError::from)
}

/// Creates the pool. Opens no connection yet.
///
/// # Errors
/// [`StoreError::Config`] if the URL is invalid.
pub(super) fn connections(config: &DatabaseConfig) -> StoreResult<Connections<PgManager>> {
    let server = Server::new(config)?;
    let ignored = server.options.ignored.join(", ");
    if !ignored.is_empty() {
        tracing::warn!(ignored, "DATABASE_URL has parameters that are not used");
    }
    let prepared = match config.prepared {
        PreparedStatements::Auto => server.options.prepared.unwrap_or_default(),
        chosen => chosen,
    };
    let pool =
        Pool::builder(PgManager { server, direct: Server::direct(config)?, state: Arc::new(PoolState::new(prepared)) })
            .max_size(config.pool_size)
            // Few sessions that are busy know more statements than many that take turns, and need fewer checks.
            .queue_mode(QueueMode::Lifo)
            .build()
            .map_err(|error| StoreError::Config(error.to_string()))?;
    Ok(Connections::new(pool, config.pool_timeout))
}
