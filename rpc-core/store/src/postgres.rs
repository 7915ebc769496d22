//! PostgreSQL: how a connection is made, and the pool.

mod backend;
mod connection;
mod pool_state;
mod row;
mod sqlstate;
mod statement;
mod url;

pub(super) use self::connection::PgConn;

use self::pool_state::PoolState;
use self::url::UrlOptions;
use super::connections::Connections;
use super::error::{StoreError, StoreResult};
use super::tls;
use crate::config::{DatabaseConfig, PreparedStatements};
use deadpool::managed::{Manager, Metrics, Pool, RecycleError, RecycleResult};
use diesel::{ConnectionError, ConnectionResult};
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

/// Longest time for a statement. None of ours comes near it, so one that does is stuck behind a lock or a dying disk.
pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest pause inside a transaction: frees the locks of a process that stopped in the middle of one.
const TRANSACTION_PAUSE: Duration = Duration::from_secs(30);

/// How long the server may be silent before the connection counts as dead: asked when idle, then when not answering.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_RETRIES: u32 = 3;
/// How long what was sent may be unacknowledged by the other machine: that takes a round trip, whatever the server does.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);
/// How long one address may take to accept a connection. One that is dead must leave time for another.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a session beside the pool may take to begin: a server that is frozen accepts connections too.
const SESSION_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that was idle for longer is asked for a sign of life before it is used: the server may have gone without
/// a word.
const CHECK_AFTER: Duration = Duration::from_secs(1);
/// How long it has for that.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// A server, and how to speak to it.
#[derive(Clone)]
pub(super) struct Server {
    config: Config,
    tls: MakeRustlsConnect,
    options: UrlOptions,
}

impl Server {
    /// Reads a `postgres://` URL.
    ///
    /// # Errors
    /// [`StoreError::Config`] for what is not understood; the text holds no part of the URL but names of parameters.
    pub(super) fn new(database: &DatabaseConfig) -> StoreResult<Self> {
        Self::at(&database.url, database.pool_timeout)
    }

    /// The same without a pooler in between, as far as that is configured.
    ///
    /// # Errors
    /// As [`new`](Self::new).
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
            return Err(StoreError::Config("it names no host; write postgres://user@host/database".to_owned()));
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
            // Of several, the one that takes writes.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        Ok(Self { config, tls, options })
    }

    /// A connection without limits on statements. A task of the current runtime drives it, and it is closed when the
    /// server goes away.
    ///
    /// # Errors
    /// When the server is not reached, or refuses.
    async fn connect(&self, state: &Arc<PoolState>) -> ConnectionResult<PgConn> {
        let refused = |error| ConnectionError::BadConnection(Chain(&error).to_string());
        // The name of the host is looked up each time: after a failover it leads elsewhere.
        let (client, connection) = self.config.connect(self.tls.clone()).await.map_err(refused)?;
        // Ends with the client, or when the server closes the connection.
        #[expect(clippy::disallowed_methods, reason = "ends with its connection, and whoever uses that one sees it")]
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %Chain(&error), "a connection to PostgreSQL was lost");
            }
        });
        let is_pooler = backend::is_pooler(&client).await.map_err(refused)?;
        Ok(PgConn::new(client, is_pooler, state.clone()))
    }

    /// A connection of its own, which prepares no statement by name.
    ///
    /// # Errors
    /// When the server is not reached, or refuses.
    pub(super) async fn connect_alone(&self) -> ConnectionResult<PgConn> {
        self.connect(&Arc::new(PoolState::new(PreparedStatements::Off))).await
    }

    async fn connect_for_pool(&self, state: &Arc<PoolState>) -> ConnectionResult<PgConn> {
        let mut connection = self.connect(state).await?;
        if !connection.is_pooler() {
            let settings = format!(
                "SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {}",
                STATEMENT_TIMEOUT.as_millis(),
                TRANSACTION_PAUSE.as_millis(),
            );
            connection.batch_execute(&settings).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
        }
        Ok(connection)
    }
}

/// How to open a connection that is not the pool's, for whoever listens to what the server announces.
pub struct Listener {
    server: Server,
    /// Whether the operator says that nothing is in between.
    is_direct: bool,
}

impl Listener {
    /// `None` for SQLite, which announces nothing.
    ///
    /// # Errors
    /// [`StoreError::Config`] when the URL cannot be used.
    pub fn of(database: &DatabaseConfig) -> StoreResult<Option<Self>> {
        if !database.is_postgres() {
            return Ok(None);
        }
        Ok(Some(Self { server: Server::direct(database)?, is_direct: database.direct_url.is_some() }))
    }

    /// A connection, and what comes over it unasked. The stream has to be read for the connection to do anything. `None`
    /// when a pooler is in between, which may give each statement another session: nothing would be heard.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the server is not reached.
    pub async fn connect(&self) -> StoreResult<Option<(Client, impl Stream<Item = Message> + use<>)>> {
        let Session { client, messages, is_pooler } = self.server.session().await?;
        Ok((self.is_direct || !is_pooler).then_some((client, messages)))
    }
}

type Message = Result<AsyncMessage, tokio_postgres::Error>;

/// A connection that its user drives.
pub(super) struct Session {
    pub(super) client: Client,
    /// What the server says unasked. It has to be read for the client to do anything.
    pub(super) messages: BoxStream<'static, Message>,
    /// Whether a pooler answers in the place of the server.
    pub(super) is_pooler: bool,
}

impl Server {
    /// A connection for its user to drive.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the server is not reached.
    pub(super) async fn session(&self) -> StoreResult<Session> {
        let session = tokio::time::timeout(SESSION_TIMEOUT, Box::pin(self.begin_session())).await;
        session.unwrap_or_else(|_| Err(StoreError::unavailable(format!("no answer within {SESSION_TIMEOUT:?}"))))
    }

    async fn begin_session(&self) -> StoreResult<Session> {
        let connected = self.config.connect(self.tls.clone()).await;
        let (client, mut connection) = connected.map_err(StoreError::unavailable)?;
        let mut messages = futures::stream::poll_fn(move |context| connection.poll_message(context)).boxed();
        let is_pooler = tokio::select! {
            is_pooler = backend::is_pooler(&client) => is_pooler.map_err(StoreError::unavailable)?,
            () = async { while let Some(Ok(_)) = messages.next().await {} } => {
                return Err(StoreError::unavailable("the connection was closed"));
            }
        };
        Ok(Session { client, messages, is_pooler })
    }
}

/// The name of the database that a URL leads to.
pub(super) fn database_name(config: &DatabaseConfig) -> StoreResult<String> {
    let Server { config, .. } = Server::new(config)?;
    // libpq's rule for a URL without a name.
    Ok(config.get_dbname().or(config.get_user()).unwrap_or_default().to_owned())
}

/// Makes the connections of the pool, and decides which are used again.
pub(super) struct PgManager {
    server: Server,
    /// The same without a pooler in between.
    direct: Server,
    state: Arc<PoolState>,
}

impl PgManager {
    /// The server without a pooler in between, as far as that is configured.
    pub(super) fn direct(&self) -> &Server {
        &self.direct
    }

    /// Has the connections that there are replaced before they are used again.
    pub(super) fn doubt_all(&self) {
        self.state.doubt(self.state.generation());
    }
}

impl Manager for PgManager {
    type Type = PgConn;
    type Error = ConnectionError;

    async fn create(&self) -> ConnectionResult<PgConn> {
        // Large, and seldom: in the future of each query it would take its place for nothing.
        Box::pin(self.server.connect_for_pool(&self.state)).await
    }

    async fn recycle(&self, connection: &mut PgConn, _: &Metrics) -> RecycleResult<ConnectionError> {
        if let Some(why) = connection.unusable() {
            tracing::debug!(why, "a connection to PostgreSQL is closed");
            return Err(RecycleError::message(why));
        }
        if connection.idle() > CHECK_AFTER
            && !matches!(tokio::time::timeout(CHECK_TIMEOUT, connection.check()).await, Ok(Ok(())))
        {
            connection.doubt_all();
            return Err(RecycleError::message("its server gave no sign of life"));
        }
        Ok(())
    }
}

/// The pool.
///
/// # Errors
/// [`StoreError::Config`] when the URL cannot be used. No connection is made yet.
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
            .build()
            .map_err(|error| StoreError::Config(error.to_string()))?;
    Ok(Connections { pool, wait: config.pool_timeout })
}
