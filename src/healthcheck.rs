//! `threadline healthcheck`: requests `/health` of the server on this machine. With it, a container image needs no HTTP
//! client.

use crate::config::ServerConfig;
use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use threadline_core::tls::LenientVerifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;

/// Shorter than the timeout of the image's health check (5 s), so that the reason is printed.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Requests `/health` from the address of the REST API in `config`.
///
/// # Errors
///
/// When there is no connection, no response within 4 s, or another status than 200.
pub async fn check(config: &ServerConfig) -> anyhow::Result<()> {
    let address = loopback_if_unspecified(config.rest_listen);
    let request = async {
        let socket = TcpStream::connect(address).await?;
        match config.tls {
            None => status(socket).await,
            Some(_) => status(tls()?.connect(ServerName::IpAddress(address.ip().into()), socket).await?).await,
        }
    };
    let status = tokio::time::timeout(TIMEOUT, request)
        .await
        .with_context(|| format!("{address} did not answer within {} s", TIMEOUT.as_secs()))?
        .with_context(|| format!("{address} cannot be asked"))?;
    if status != StatusCode::OK {
        bail!("{address} answered {status}");
    }
    Ok(())
}

async fn status<S>(socket: S) -> anyhow::Result<StatusCode>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    // Dropped at the end, which closes the connection.
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let request = Request::get("/health").header("host", "localhost").body(Empty::<Bytes>::new())?;
    let status = sender.send_request(request).await?.status();
    Ok(status)
}

/// Replaces the unspecified address (0.0.0.0, [::]), which a server listens on, by the loopback address.
fn loopback_if_unspecified(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Returns a connector that accepts any certificate. The certificate names a site and not the loopback address, and the
/// request contains no secret.
fn tls() -> anyhow::Result<TlsConnector> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let any = LenientVerifier::any_certificate(&provider);
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(any))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Settings, TlsFiles};
    use crate::listen::{Certificates, ConnectionLimits, Listener, serve};
    use http::Response;
    use threadline_runtime::Supervisor;
    use tokio_util::sync::CancellationToken;

    async fn check_server(status: StatusCode, tls: Option<TlsFiles>) -> anyhow::Result<()> {
        let mut config = Settings::read(&|_| None).unwrap().server().unwrap();
        let acceptor = tls.as_ref().map(|files| Certificates::load(files).unwrap().acceptor().unwrap());
        let listener = Listener::bind("test", "REST_LISTEN", "0.0.0.0:0".parse().unwrap(), acceptor).await.unwrap();
        config.rest_listen = listener.local_addr().unwrap();
        config.tls = tls;
        let answer = move |_, request: Request<hyper::body::Incoming>| async move {
            let status = if request.uri().path() == "/health" { status } else { StatusCode::NOT_FOUND };
            Response::builder().status(status).body(Empty::<Bytes>::new()).unwrap()
        };
        tokio::spawn(serve(
            listener,
            answer,
            ConnectionLimits::default(),
            CancellationToken::new(),
            Supervisor::default(),
        ));
        check(&config).await
    }

    #[tokio::test]
    async fn the_status_decides() {
        check_server(StatusCode::OK, None).await.unwrap();
        let error = check_server(StatusCode::SERVICE_UNAVAILABLE, None).await.unwrap_err().to_string();
        assert!(error.contains("127.0.0.1") && error.contains("503"), "{error}");
    }

    #[tokio::test]
    async fn a_server_with_a_certificate_is_checked_over_tls() {
        let made = rcgen::generate_simple_self_signed(vec!["chat.example".to_owned()]).unwrap();
        let path = |what: &str| std::env::temp_dir().join(format!("threadline-{}-health-{what}", std::process::id()));
        let files = TlsFiles { cert: path("cert"), key: path("key") };
        std::fs::write(&files.cert, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        let answer = check_server(StatusCode::OK, Some(files.clone())).await;
        std::fs::remove_file(&files.cert).unwrap();
        std::fs::remove_file(&files.key).unwrap();
        answer.unwrap();
    }

    #[tokio::test]
    async fn no_server_is_an_error() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut config = Settings::read(&|_| None).unwrap().server().unwrap();
        config.rest_listen = free;
        assert!(check(&config).await.unwrap_err().to_string().contains("cannot be asked"));
    }
}
