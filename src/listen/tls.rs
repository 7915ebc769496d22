//! TLS for installations without a proxy in front. A new certificate is used without a restart.

use crate::config::{ConfigError, TlsFiles};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use parking_lot::RwLock;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use threadline_runtime::{Supervisor, TaskKind};
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// Poll interval of the files. The program that renews them may not send a signal.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long before its end a certificate is logged as one that expires soon.
const EXPIRES_SOON: TimeDelta = TimeDelta::days(7);
/// How often the end is looked at while the process runs.
const WARN_EVERY: Duration = Duration::from_secs(24 * 3600);

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
        let current = read(files)?;
        warn_of_expiry(&current);
        let current = RwLock::new(Arc::new(current));
        Ok(Self { shared: Arc::new(Shared { files: files.clone(), current }) })
    }

    /// Reads certificate and key, and returns until when the certificate is valid; `None` if that cannot be read.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load), and when the certificate has expired.
    pub fn check(files: &TlsFiles) -> Result<Option<DateTime<Utc>>, ConfigError> {
        let valid_until = valid_until(&read(files)?);
        match valid_until {
            Some(end) if end <= now() => {
                Err(ConfigError::new("TLS_CERT_FILE", format!("{:?} has expired at {}", files.cert, shown(end))))
            }
            valid_until => Ok(valid_until),
        }
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
            let mut warned = Instant::now();
            loop {
                let is_asked = tokio::select! {
                    signal = hangups.recv() => signal.is_some(),
                    () = tokio::time::sleep(LOOK_EVERY) => false,
                };
                let changed = shared.changed().await;
                if is_asked || changed != seen {
                    seen = changed;
                    shared.reload().await;
                    warned = Instant::now();
                } else if warned.elapsed() >= WARN_EVERY {
                    warned = Instant::now();
                    warn_of_expiry(&shared.current.read().clone());
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
                warn_of_expiry(&key);
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

/// Returns until when the certificate of the server is valid.
fn valid_until(key: &CertifiedKey) -> Option<DateTime<Utc>> {
    let certificate = Certificate::from_der(key.cert.first()?).ok()?;
    let seconds = certificate.tbs_certificate.validity.not_after.to_unix_duration().as_secs();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, 0)
}

#[expect(clippy::disallowed_methods, reason = "clients compare the certificate with the time of their machines")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Logs that a certificate has expired, or does so soon. It is used all the same: some clients do not look at the time.
fn warn_of_expiry(key: &CertifiedKey) {
    let Some(end) = valid_until(key) else { return };
    let left = end - now();
    if left <= TimeDelta::zero() {
        tracing::error!(expired_at = shown(end), "the certificate of TLS_CERT_FILE has expired: clients refuse it");
    } else if left <= EXPIRES_SOON {
        tracing::warn!(expires_at = shown(end), "the certificate of TLS_CERT_FILE expires soon");
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
