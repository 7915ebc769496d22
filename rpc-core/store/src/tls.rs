//! `sslmode`: whether the connection to PostgreSQL is encrypted, and how the certificate of the server is verified.

use super::error::{StoreError, StoreResult};
use crate::lenient_tls::LenientVerifier;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::{self, CryptoProvider};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The TLS parameters of a URL, with their meaning in libpq:
/// <https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-SSLMODE-STATEMENTS>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Security {
    mode: Option<Mode>,
    /// Path of a PEM file with the trusted certificates, or `system`.
    roots: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Security {
    /// Removes `sslmode` and `sslrootcert` from a URL: tokio-postgres knows some values of the first, and refuses the
    /// second. Returns the rest of the URL and what it has removed.
    ///
    /// # Errors
    /// [`StoreError::Config`] if the mode does not exist.
    pub(super) fn take_from(url: &str) -> StoreResult<(String, Self)> {
        let mut found = Self { mode: None, roots: None };
        let Some((base, parameters)) = url.split_once('?') else {
            return Ok((url.to_owned(), found));
        };
        let mut rest = Vec::new();
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", mode)) => found.mode = Some(Mode::from_name(mode)?),
                // Other clients write `ssl=true` for `sslmode=require`.
                Some(("ssl", "true" | "1" | "require")) => found.mode = found.mode.or(Some(Mode::Require)),
                Some(("sslrootcert", file)) => {
                    let file = percent_encoding::percent_decode_str(file).decode_utf8();
                    let file = file.map_err(|_| StoreError::Config("sslrootcert is not UTF-8".to_owned()))?;
                    found.roots = Some(file.into_owned());
                }
                _ => rest.push(parameter),
            }
        }
        let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        Ok((url, found))
    }

    /// Sets in `config` when to use TLS. Returns the TLS client.
    ///
    /// # Errors
    /// [`StoreError::Config`] if the trusted certificates cannot be read.
    pub(super) fn apply(self, config: &mut Config) -> StoreResult<MakeRustlsConnect> {
        let is_remote = !is_local(config);
        let mode = self.mode.unwrap_or(if is_remote { Mode::VerifyFull } else { Mode::Disable });
        if is_remote && mode != Mode::VerifyFull {
            warn_of_unproven_server(mode);
        }
        config.ssl_mode(match mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        });

        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match (mode, &self.roots) {
            (Mode::VerifyFull, roots) => chain_verifier(roots.as_deref(), &provider)?,
            // As in libpq: `require` with `sslrootcert` means `verify-ca`.
            (Mode::VerifyCa, roots) | (Mode::Require, roots @ Some(_)) => {
                Arc::new(LenientVerifier::any_name(chain_verifier(roots.as_deref(), &provider)?, &provider))
            }
            (Mode::Disable | Mode::Prefer | Mode::Require, _) => Arc::new(LenientVerifier::any_certificate(&provider)),
        };
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| StoreError::Config(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        // `sslnegotiation=direct` requires it. Without that, every server accepts or ignores it.
        tls.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok(MakeRustlsConnect::new(tls))
    }
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    fn from_name(name: &str) -> StoreResult<Self> {
        match name {
            "disable" => Ok(Self::Disable),
            // `allow` tries an unencrypted connection first. It accepts both, so `prefer` satisfies it.
            "allow" | "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            _ => {
                Err(StoreError::Config("sslmode is one of disable, prefer, require, verify-ca, verify-full".to_owned()))
            }
        }
    }
}

/// Returns whether the server is on this machine. There, encryption makes every query slower and protects nothing. On
/// the network, an attacker can be in between: unless the URL says otherwise, the server has to prove its identity.
fn is_local(config: &Config) -> bool {
    let local = |host: &Host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback()),
        Host::Unix(_) => true,
    };
    let hosts = config.get_hosts();
    let addresses = config.get_hostaddrs();
    if addresses.is_empty() { hosts.iter().all(local) } else { addresses.iter().all(IpAddr::is_loopback) }
}

/// Warns once.
fn warn_of_unproven_server(mode: Mode) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            sslmode = mode.name(),
            "the database is on another machine, and with this sslmode it does not have to prove its identity; use verify-full, with sslrootcert if your own authority has issued its certificate"
        );
    }
}

/// Returns a verifier that accepts a certificate if a trusted authority has issued it for the requested host name.
///
/// # Errors
/// [`StoreError::Config`] if `roots` cannot be read or holds no certificate.
fn chain_verifier(roots: Option<&str>, provider: &Arc<CryptoProvider>) -> StoreResult<Arc<WebPkiServerVerifier>> {
    let mut store = RootCertStore::empty();
    match roots {
        None | Some("system") => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(file) => {
            let unreadable = |error: &dyn std::fmt::Display| StoreError::Config(format!("sslrootcert {file}: {error}"));
            for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))? {
                let certificate = certificate.map_err(|error| unreadable(&error))?;
                store.add(certificate).map_err(|error| unreadable(&error))?;
            }
        }
    }
    if store.is_empty() {
        return Err(StoreError::Config(
            "found no trusted certificates to verify the server with; name a PEM file with sslrootcert=PATH".to_owned(),
        ));
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
        .build()
        .map_err(|error| StoreError::Config(error.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn mode_of(url: &str) -> SslMode {
        let (url, security) = Security::take_from(url).unwrap();
        let mut config: Config = url.parse().unwrap();
        security.apply(&mut config).unwrap();
        config.get_ssl_mode()
    }

    #[test]
    fn another_machine_must_prove_who_it_is_unless_the_url_says_otherwise() {
        assert_eq!(mode_of("postgres://u@127.0.0.1/d"), SslMode::Disable);
        // A container for builds may have no certificates of authorities at all.
        if !rustls_native_certs::load_native_certs().certs.is_empty() {
            assert_eq!(mode_of("postgres://u@localhost,db.example/d"), SslMode::Require);
            assert_eq!(mode_of("postgres://u@db.example/d"), SslMode::Require);
        }
        assert_eq!(mode_of("postgres://u@db.example/d?sslmode=prefer"), SslMode::Prefer);
        assert_eq!(mode_of("postgres://u@localhost/d?sslmode=require"), SslMode::Require);
        assert_eq!(mode_of("postgres://u@db.example/d?sslmode=disable"), SslMode::Disable);
        assert_eq!(mode_of("postgres://u@ep.neon.tech/d?sslmode=require&channel_binding=require"), SslMode::Require);
    }

    #[test]
    fn other_parameters_stay_in_the_url() {
        let (url, security) =
            Security::take_from("postgres://u@h/d?application_name=a&sslmode=verify-full&sslrootcert=%2Fa%20b&x=1")
                .unwrap();
        assert_eq!(url, "postgres://u@h/d?application_name=a&x=1");
        assert_eq!(security, Security { mode: Some(Mode::VerifyFull), roots: Some("/a b".to_owned()) });
    }

    #[test]
    fn what_is_refused_says_what_to_change() {
        let error = Security::take_from("postgres://u:secret@h/d?sslmode=on").unwrap_err().to_string();
        assert!(error.contains("verify-full") && !error.contains("secret"), "{error}");

        let (_, security) = Security::take_from("postgres://u@h/d?sslmode=verify-ca&sslrootcert=/no/such.pem").unwrap();
        let error = security.apply(&mut Config::new()).err().unwrap().to_string();
        assert!(error.contains("/no/such.pem"), "{error}");
    }
}
