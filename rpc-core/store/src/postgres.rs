//! PostgreSQL: how a connection is made, and the pool.

use super::error::{StoreError, StoreResult};
use super::tls;
use super::unit::{Connections, PgConn};
use crate::config::DatabaseConfig;
use diesel::{ConnectionError, ConnectionResult};
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures::{FutureExt, Stream};
use secrecy::ExposeSecret;
use std::time::Duration;
use threadline_schema::error::Chain;
use tokio_postgres::{AsyncMessage, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Longest time for a statement. None of ours comes near it, so one that does is stuck behind a lock or a dying disk.
pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest pause inside a transaction: frees the locks of a process that stopped in the middle of one.
const TRANSACTION_PAUSE: Duration = Duration::from_secs(30);

/// How long the server may be silent before the connection counts as dead: asked when idle, then when not answering.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
const UNACKNOWLEDGED: Duration = Duration::from_secs(15);

/// A server, and how to speak to it.
#[derive(Clone)]
pub(super) struct Server {
    config: Config,
    tls: MakeRustlsConnect,
}

impl Server {
    /// Reads a `postgres://` URL.
    ///
    /// # Errors
    /// [`StoreError::Config`] for what is not understood; the text holds no part of the URL but names of parameters.
    pub(super) fn new(database: &DatabaseConfig) -> StoreResult<Self> {
        let (url, security) = tls::Security::take_from(database.url.expose_secret())?;
        let mut config: Config =
            url.parse().map_err(|error: tokio_postgres::Error| StoreError::Config(Chain(&error).to_string()))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(StoreError::Config("it names no host; write postgres://user@host/database".to_owned()));
        }
        let tls = security.apply(&mut config)?;
        if config.get_application_name().is_none() {
            config.application_name("threadline");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(database.pool_timeout);
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
        Ok(Self { config, tls })
    }

    /// A connection. A task of the current runtime drives it, and marks it as closed when the server goes away, so the
    /// pool makes another in its place.
    pub(super) async fn connect(&self) -> ConnectionResult<PgConn> {
        let (client, connection) = self
            .config
            .connect(self.tls.clone())
            .await
            .map_err(|error| ConnectionError::BadConnection(Chain(&error).to_string()))?;
        AsyncPgConnection::try_from_client_and_connection(client, connection).await
    }

    async fn connect_for_pool(&self) -> ConnectionResult<PgConn> {
        let mut connection = self.connect().await?;
        let settings = format!(
            "SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {}",
            STATEMENT_TIMEOUT.as_millis(),
            TRANSACTION_PAUSE.as_millis(),
        );
        connection.batch_execute(&settings).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(connection)
    }
}

/// How to open a connection that is not the pool's, for whoever listens to what the server announces.
pub struct Listener(Server);

impl Listener {
    /// `None` for SQLite, which announces nothing.
    ///
    /// # Errors
    /// [`StoreError::Config`] when the URL cannot be used.
    pub fn of(database: &DatabaseConfig) -> StoreResult<Option<Self>> {
        super::db::is_postgres(database.url.expose_secret()).then(|| Server::new(database).map(Self)).transpose()
    }

    /// A connection, and what comes over it unasked. The stream has to be read for the connection to do anything.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the server is not reached.
    pub async fn connect(&self) -> StoreResult<(Client, impl Stream<Item = Message> + use<>)> {
        let Self(Server { config, tls }) = self;
        let connected = config.connect(tls.clone()).await;
        let (client, mut connection) = connected.map_err(StoreError::unavailable)?;
        Ok((client, futures::stream::poll_fn(move |context| connection.poll_message(context))))
    }
}

type Message = Result<AsyncMessage, tokio_postgres::Error>;

/// The name of the database that a URL leads to.
pub(super) fn database_name(config: &DatabaseConfig) -> StoreResult<String> {
    let Server { config, .. } = Server::new(config)?;
    // libpq's rule for a URL without a name.
    Ok(config.get_dbname().or(config.get_user()).unwrap_or_default().to_owned())
}

/// The pool.
///
/// # Errors
/// [`StoreError::Config`] when the URL cannot be used. No connection is made yet.
pub(super) fn connections(config: &DatabaseConfig) -> StoreResult<Connections<PgConn>> {
    let server = Server::new(config)?;
    let mut manager = ManagerConfig::default();
    // The default asks `SELECT 1` whenever a connection is taken; this one only looks whether it is still open.
    manager.recycling_method = RecyclingMethod::Fast;
    manager.custom_setup = Box::new(move |_| {
        let server = server.clone();
        async move { server.connect_for_pool().await }.boxed()
    });
    // The URL stays out of the manager, which would show it: the closure above has what it needs.
    let pool = Pool::builder(AsyncDieselConnectionManager::new_with_config("", manager))
        .max_size(config.pool_size)
        .build()
        .map_err(|error| StoreError::Config(error.to_string()))?;
    Ok(Connections { pool, wait: config.pool_timeout })
}
