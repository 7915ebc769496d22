//! TLS to a core behind `wss://`.

use super::RemoteError;
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Returns a connector that trusts the root certificates of the system.
///
/// # Errors
/// If the system has no usable root certificate.
pub(super) fn connector() -> Result<TlsConnector, RemoteError> {
    let mut roots = RootCertStore::empty();
    let loaded = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(loaded.certs);
    if added == 0 {
        let reasons: Vec<_> = loaded.errors.iter().map(ToString::to_string).collect();
        return Err(RemoteError::Tls(format!("the system has no root certificates {}", reasons.join("; "))));
    }
    // Explicit, because another crate of the process could have added a second crypto provider.
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| RemoteError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
