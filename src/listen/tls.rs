//! TLS for installations without a proxy in front. A new certificate is used without a restart.

use crate::config::{ConfigError, TlsFiles};
use parking_lot::RwLock;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use threadline_runtime::{Supervisor, TaskKind};
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

/// Poll interval of the files. The program that renews them may not send a signal.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The certificate of all listeners. Clones share it.
#[derive(Debug, Clone)]
pub struct Certificates {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    files: TlsFiles,
    current: RwLock<Arc<CertifiedKey>>,
}

/// When both files were last changed; `None` for one that is away.
type Changed = [Option<SystemTime>; 2];

impl Certificates {
    /// Reads certificate and key.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or certificate and key do not belong together. The error names the variable.
    pub fn load(files: &TlsFiles) -> Result<Self, ConfigError> {
        let current = RwLock::new(Arc::new(read(files)?));
        Ok(Self { shared: Arc::new(Shared { files: files.clone(), current }) })
    }

    /// Returns an acceptor for TLS 1.2 and 1.3, which offers HTTP/1.1.
    ///
    /// # Errors
    ///
    /// When the library knows no version of TLS.
    pub fn acceptor(&self) -> Result<TlsAcceptor, ConfigError> {
        // An explicit provider: with a second crypto library among the dependencies, the default would be ambiguous.
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ConfigError::new("TLS_CERT_FILE", error.to_string()))?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(self.shared.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Starts a task that reads the files again on SIGHUP, and when they change. If they have an error, the certificate
    /// does not change.
    ///
    /// # Errors
    ///
    /// When the operating system does not allow the signal handler.
    pub fn keep_current(&self, supervisor: &Supervisor) -> std::io::Result<()> {
        let mut hangups = signal(SignalKind::hangup())?;
        let shared = self.shared.clone();
        supervisor.spawn(TaskKind::CertificateReload, async move {
            let mut seen = shared.changed().await;
            loop {
                let is_asked = tokio::select! {
                    signal = hangups.recv() => signal.is_some(),
                    () = tokio::time::sleep(LOOK_EVERY) => false,
                };
                let now = shared.changed().await;
                if is_asked || now != seen {
                    seen = now;
                    shared.reload().await;
                }
            }
        });
        Ok(())
    }
}

impl Shared {
    async fn changed(&self) -> Changed {
        async fn of(path: &Path) -> Option<SystemTime> {
            tokio::fs::metadata(path).await.and_then(|file| file.modified()).ok()
        }
        [of(&self.files.cert).await, of(&self.files.key).await]
    }

    async fn reload(&self) {
        let files = self.files.clone();
        let outcome = match tokio::task::spawn_blocking(move || read(&files)).await {
            Ok(Ok(key)) => {
                *self.current.write() = Arc::new(key);
                tracing::info!("certificate reloaded");
                "ok"
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "certificate cannot be reloaded; the previous one stays in use");
                "refused"
            }
            Err(error) => {
                tracing::error!(%error, "certificate could not be reloaded");
                "refused"
            }
        };
        metrics::counter!("threadline_certificate_reloads_total", "outcome" => outcome).increment(1);
    }
}

impl ResolvesServerCert for Shared {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().clone())
    }
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, ConfigError> {
    let of_cert = |problem: String| ConfigError::new("TLS_CERT_FILE", format!("{:?} {problem}", files.cert));
    let of_key = |problem: String| ConfigError::new("TLS_KEY_FILE", format!("{:?} {problem}", files.key));

    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| of_cert(format!("cannot be read: {error}")))?;
    if chain.is_empty() {
        return Err(of_cert("contains no certificate in PEM".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| of_key(format!("cannot be read: {error}")))?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map_err(|error| of_key(format!("and TLS_CERT_FILE do not work together: {error}")))
}
