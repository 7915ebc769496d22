//! Redis, for data that replicas share and may lose: its connections, and the names of its keys and channels.

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection, PubSub};
use ::redis::{AsyncConnectionConfig, Client, RedisResult};
use async_recursion::async_recursion as boxed;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::time::Duration;

/// Time limit for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time limit of a reply.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A Redis server. Clones share the connection for short commands.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    quick: ConnectionManager,
    namespace: Arc<str>,
}

/// `REDIS_URL` is invalid. The text never repeats the URL, which may contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("REDIS_URL: invalid URL; write redis://:PASSWORD@HOST:6379/0, or rediss:// for TLS")]
pub struct RedisUrlError;

/// Configuration of a Redis server.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// `redis://...` or `rediss://...`.
    pub url: SecretString,
}

impl Redis {
    /// Reads the URL, to check whether the server answers.
    ///
    /// # Errors
    /// If the URL is invalid.
    pub fn probe(config: &RedisConfig) -> Result<Self, RedisUrlError> {
        Self::open(config, "probe".into())
    }

    /// Reads the URL. The first command connects. All names start with `namespace`.
    ///
    /// # Errors
    /// If the URL is invalid. A server that cannot be reached is not an error.
    pub fn open(config: &RedisConfig, namespace: Arc<str>) -> Result<Self, RedisUrlError> {
        let client = Client::open(config.url.expose_secret()).map_err(|_| RedisUrlError)?;
        // The client does not retry: a request waits for the reply, and the next request tries again.
        let manager = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let quick = ConnectionManager::new_lazy_with_config(client.clone(), manager).map_err(|_| RedisUrlError)?;
        Ok(Self { client, quick, namespace })
    }

    /// Checks that the server answers, within a few seconds.
    ///
    /// # Errors
    /// The reason why it does not, as a text for the log.
    #[boxed]
    pub async fn ping(&self) -> Result<(), String> {
        let mut connection = self.quick();
        ::redis::cmd("PING").exec_async(&mut connection).await.map_err(|error| error.to_string())
    }

    /// Returns the shared connection for short commands. It reconnects by itself.
    pub fn quick(&self) -> ConnectionManager {
        self.quick.clone()
    }

    /// Opens a separate connection for a user that sends much and must not delay others.
    #[boxed]
    pub async fn dedicated_connection(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// Opens a connection that can subscribe to channels.
    #[boxed]
    pub async fn listener(&self) -> RedisResult<PubSub> {
        match tokio::time::timeout(CONNECT_TIMEOUT, self.client.get_async_pubsub()).await {
            Ok(connected) => connected,
            Err(_) => Err(::redis::RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))),
        }
    }

    /// Returns the name of a key or channel of this installation. Several installations can share a server.
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
