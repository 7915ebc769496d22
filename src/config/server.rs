//! Settings -> what the listeners, the gateway and the log are configured with. Reads the groups REST gateway,
//! JSON-RPC core, Network and Logging.

use super::{ConfigError, LogFormat, Settings};
use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What the process around the core is configured with.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where the REST API listens.
    pub rest_listen: SocketAddr,
    /// Where the core listens.
    pub rpc_listen: SocketAddr,
    /// Certificate and key; `None` is plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Origins that browsers may call from, as they stand in `Origin`; `*` is any. Empty: none.
    pub cors_origins: Vec<String>,
    /// Whether there is a page to chat on.
    pub chat_page: bool,
    /// Whether to send `Strict-Transport-Security`.
    pub hsts: bool,
    /// Proxies whose word about a client's address is taken.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Bytes of a request body.
    pub body_bytes: usize,
    /// Connections of one listener at a time.
    pub max_connections: usize,
    /// How long runs may go on after the signal to stop.
    pub drain: Duration,
}

/// Certificate and private key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, the server's own first.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Log lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Directives for `tracing_subscriber::EnvFilter`.
    pub filter: String,
    /// How lines look; `None` is pretty on a terminal and JSON elsewhere.
    pub format: Option<LogFormat>,
}

impl Settings {
    /// What the process around the core is configured with.
    ///
    /// # Errors
    ///
    /// A certificate without a key, or a key without a certificate.
    pub fn server(&self) -> Result<ServerConfig, ConfigError> {
        Ok(ServerConfig {
            rest_listen: self.rest_listen,
            rpc_listen: self.rpc_listen,
            tls: self.tls()?,
            cors_origins: self.cors_origins.clone().unwrap_or_default().0,
            chat_page: self.chat_page,
            hsts: self.hsts,
            trusted_proxies: self.trusted_networks(),
            body_bytes: self.max_body_bytes.as_usize(),
            max_connections: self.max_connections.as_usize(),
            drain: self.drain_seconds.seconds(),
        })
    }

    /// How the log is written.
    pub fn log(&self) -> LogConfig {
        LogConfig { filter: self.log_level.as_str().to_owned(), format: self.log_format }
    }

    /// The core that a gateway of its own talks to.
    ///
    /// # Errors
    ///
    /// It is not set.
    pub fn core_url(&self) -> Result<&str, ConfigError> {
        self.core_url.as_ref().map(|url| url.as_str()).ok_or_else(|| {
            ConfigError::new("CORE_URL", "is not set; give the core's address, such as --core ws://127.0.0.1:8001")
        })
    }

    pub(super) fn trusted_networks(&self) -> Arc<[IpNet]> {
        self.trusted_proxies.clone().unwrap_or_default().0.into()
    }

    fn tls(&self) -> Result<Option<TlsFiles>, ConfigError> {
        match (&self.tls_cert_file, &self.tls_key_file) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert: cert.clone(), key: key.clone() })),
            (Some(_), None) => {
                Err(ConfigError::new("TLS_KEY_FILE", "is not set, but TLS_CERT_FILE is; set both or none"))
            }
            (None, Some(_)) => {
                Err(ConfigError::new("TLS_CERT_FILE", "is not set, but TLS_KEY_FILE is; set both or none"))
            }
        }
    }
}
