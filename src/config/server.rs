//! Settings -> configuration of the listeners, the gateway and the log. Reads the groups REST gateway, JSON-RPC core,
//! Network and Logging.

use super::{ConfigError, LogFormat, Settings};
use ipnet::IpNet;
use secrecy::SecretString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Configuration of the listeners and the gateway.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Address of the REST listener.
    pub rest_listen: SocketAddr,
    /// Address of the JSON-RPC listener.
    pub rpc_listen: SocketAddr,
    /// Address of the listener for operators; `None` if their pages are on the other listeners.
    pub ops_listen: Option<SocketAddr>,
    /// The secret by which gateways show the core that they are gateways.
    pub gateway_secret: Option<SecretString>,
    /// Host names of this service, in lower case.
    pub host_names: Arc<[String]>,
    /// Origins of pages that may open WebSockets: those of `cors_origins`, and that of `PUBLIC_URL`.
    pub page_origins: Arc<[String]>,
    /// Certificate and key; `None` is plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Origins that browsers may call from, as in the header `Origin`; `*` is any. Empty: none.
    pub cors_origins: Vec<String>,
    /// Whether `/chat` is served.
    pub chat_page: bool,
    /// Origins whose images the chat page shows.
    pub chat_images: Vec<String>,
    /// Whether to send `Strict-Transport-Security`.
    pub hsts: bool,
    /// Proxies whose `X-Forwarded-For` is used.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Maximum size of a request body in bytes.
    pub body_bytes: usize,
    /// Maximum number of connections of each listener.
    pub max_connections: usize,
    /// Maximum number of connections of one address on each listener.
    pub max_connections_per_address: usize,
    /// Maximum time for runs to finish after the signal to stop.
    pub drain: Duration,
}

/// Certificate and private key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, beginning with the server's certificate.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Configuration of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Directives for `tracing_subscriber::EnvFilter`.
    pub filter: String,
    /// The format; `None` is pretty on a terminal and JSON otherwise.
    pub format: Option<LogFormat>,
}

impl Settings {
    /// Configuration of the listeners and the gateway.
    ///
    /// # Errors
    ///
    /// When only one of certificate and key is set.
    pub fn server(&self) -> Result<ServerConfig, ConfigError> {
        let own = self.own_origin();
        let origins = self.cors_origins.clone().unwrap_or_default().0;
        let origins: Vec<_> = origins.into_iter().chain(own.clone()).collect();
        Ok(ServerConfig {
            rest_listen: self.rest_listen,
            rpc_listen: self.rpc_listen,
            ops_listen: self.ops_listen,
            gateway_secret: self.gateway_secret.clone(),
            host_names: origins.iter().filter_map(|origin| host_of(origin)).collect(),
            page_origins: origins.into(),
            tls: self.tls()?,
            cors_origins: self.cors_origins.clone().unwrap_or_default().0,
            chat_page: self.chat_page,
            chat_images: self.chat_image_origins.clone().unwrap_or_default().0.into_iter().chain(own).collect(),
            hsts: self.hsts,
            trusted_proxies: self.trusted_networks(),
            body_bytes: self.max_body_bytes.as_usize(),
            max_connections: self.max_connections.as_usize(),
            max_connections_per_address: match self.max_connections_per_address {
                None => (self.max_connections.as_usize() * 3 / 4).max(1),
                Some(limit) => limit.get().map_or(usize::MAX, |max| max.get() as usize),
            },
            drain: self.drain_seconds.seconds(),
        })
    }

    /// Returns the origin at which clients reach this service, if it is configured.
    fn own_origin(&self) -> Option<String> {
        let uri: http::Uri = self.public_url.as_ref()?.as_str().parse().ok()?;
        // Without a password.
        let authority = uri.authority()?.as_str().rsplit('@').next()?;
        Some(format!("{}://{authority}", uri.scheme_str()?))
    }

    /// Returns the configuration of the log.
    pub fn log(&self) -> LogConfig {
        LogConfig { filter: self.log_level.as_str().to_owned(), format: self.log_format }
    }

    /// Returns the URL of the core, for a gateway in a separate process.
    ///
    /// # Errors
    ///
    /// When it is not set.
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

/// Returns the host of an origin, in lower case.
fn host_of(origin: &str) -> Option<String> {
    origin.parse::<http::Uri>().ok()?.host().map(str::to_ascii_lowercase)
}
