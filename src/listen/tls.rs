//! TLS for installations without a proxy in front.

use crate::config::{ConfigError, TlsFiles};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Returns an acceptor for TLS 1.2 and 1.3 with these files, which offers HTTP/1.1.
///
/// # Errors
///
/// When a file cannot be read, or certificate and key do not belong together. The error names the variable.
pub fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, ConfigError> {
    let of_cert = |problem: String| ConfigError::new("TLS_CERT_FILE", format!("{:?} {problem}", files.cert));
    let of_key = |problem: String| ConfigError::new("TLS_KEY_FILE", format!("{:?} {problem}", files.key));

    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| of_cert(format!("cannot be read: {error}")))?;
    if chain.is_empty() {
        return Err(of_cert("contains no certificate in PEM".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| of_key(format!("cannot be read: {error}")))?;

    // An explicit provider: with a second crypto library among the dependencies, the default would be ambiguous.
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| of_key(format!("and TLS_CERT_FILE do not work together: {error}")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
