//! Redis, which replicas may share for what none of them has to keep: how it is reached, and under which names.

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection, PubSub};
use ::redis::{AsyncConnectionConfig, Client, RedisResult};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::time::Duration;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer may take where nobody waits for it.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A Redis server. Clones share the connection for short questions.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    quick: ConnectionManager,
    namespace: Arc<str>,
}

/// `REDIS_URL` cannot be used. The text never repeats the URL, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("REDIS_URL: it is not understood; write redis://:PASSWORD@HOST:6379/0, or rediss:// for TLS")]
pub struct RedisUrlError;

/// A Redis server.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// `redis://...` or `rediss://...`.
    pub url: SecretString,
}

impl Redis {
    /// Reads the URL, for a look whether the server answers.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub fn probe(config: &RedisConfig) -> Result<Self, RedisUrlError> {
        Self::open(config, "probe".into())
    }

    /// Reads the URL. The first command connects. Every name begins with `namespace`.
    ///
    /// # Errors
    /// When the URL cannot be used. A server that is away is no error.
    pub fn open(config: &RedisConfig, namespace: Arc<str>) -> Result<Self, RedisUrlError> {
        let client = Client::open(config.url.expose_secret()).map_err(|_| RedisUrlError)?;
        // Without tries of its own: who asks has somebody waiting, and asks again soon enough.
        let manager = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let quick = ConnectionManager::new_lazy_with_config(client.clone(), manager).map_err(|_| RedisUrlError)?;
        Ok(Self { client, quick, namespace })
    }

    /// Asks the server for a sign of life, for a few seconds at most.
    ///
    /// # Errors
    /// What keeps it from answering, for the log.
    pub async fn ping(&self) -> Result<(), String> {
        let mut connection = self.quick();
        ::redis::cmd("PING").exec_async(&mut connection).await.map_err(|error| error.to_string())
    }

    /// The connection for questions that are answered at once. It mends itself.
    pub fn quick(&self) -> ConnectionManager {
        self.quick.clone()
    }

    /// A connection for whoever sends much, and must not hold up others.
    pub async fn apart(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// A connection to listen on.
    pub async fn listener(&self) -> RedisResult<PubSub> {
        match tokio::time::timeout(CONNECT_TIMEOUT, self.client.get_async_pubsub()).await {
            Ok(connected) => connected,
            Err(_) => Err(::redis::RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))),
        }
    }

    /// A name that belongs to this installation, so that several can share a server.
    pub fn name(&self, of: impl std::fmt::Display) -> String {
        format!("threadline:{}:{of}", self.namespace)
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The client would show the password.
        f.debug_struct("Redis").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}
