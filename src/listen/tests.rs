//! The accept loop, with real sockets and misbehaving peers.

use super::*;
use crate::config::TlsFiles;
use futures::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::Frame;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Short enough to wait for, long enough for a busy machine.
const SHORT: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(20);

struct Service {
    address: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<usize>,
}

impl Service {
    async fn start(limits: ConnectionLimits, tls: Option<TlsAcceptor>) -> Self {
        let listener = Listener::bind("test", "REST_LISTEN", "127.0.0.1:0".parse().unwrap(), tls).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve(listener, answer, limits, stop.clone(), Supervisor::default()));
        Self { address, stop, served }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Stops the service. Returns the number of connections that were closed by force, and the time it took.
    async fn stop(self) -> (usize, Duration) {
        let start = Instant::now();
        self.stop.cancel();
        let cut = tokio::time::timeout(LONG, self.served).await.expect("it ends").unwrap();
        (cut, start.elapsed())
    }
}

fn limits() -> ConnectionLimits {
    ConnectionLimits { head_timeout: LONG, idle_timeout: LONG, stall_timeout: LONG, ..ConnectionLimits::default() }
}

/// `/slow` answers after a while, `/flood` never stops, `/upgrade` hands the socket over; the rest tells the path.
async fn answer(peer: SocketAddr, mut request: Request<Incoming>) -> Response<BoxBody<Bytes, Infallible>> {
    assert!(peer.ip().is_loopback());
    match request.uri().path() {
        "/slow" => tokio::time::sleep(SHORT).await,
        "/flood" => {
            let chunks = stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[b'x'; 16 * 1024]))));
            return Response::new(BoxBody::new(StreamBody::new(chunks)));
        }
        "/upgrade" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut socket = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
                let mut word = [0; 4];
                while socket.read_exact(&mut word).await.is_ok() && socket.write_all(&word).await.is_ok() {}
            });
            let head = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "echo");
            return head.body(BoxBody::default()).unwrap();
        }
        _ => {}
    }
    Response::new(Full::from(request.uri().path().to_owned()).boxed())
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut S, path: &str) -> String {
    socket.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    head_and_body(socket, path).await
}

/// Reads until the text ends with `end`.
async fn head_and_body<S: AsyncRead + Unpin>(socket: &mut S, end: &str) -> String {
    let mut text = String::new();
    let mut chunk = [0; 4096];
    let read = async {
        while !text.ends_with(end) {
            let size = socket.read(&mut chunk).await.unwrap();
            assert!(size > 0, "closed after {text:?}");
            text.push_str(std::str::from_utf8(&chunk[..size]).unwrap());
        }
    };
    tokio::time::timeout(LONG, read).await.expect("an answer");
    text
}

/// What comes until the server closes, and whether it came to that in time.
async fn until_closed<S: AsyncRead + Unpin>(socket: &mut S) -> String {
    let mut bytes = Vec::new();
    // A reset is a way of closing, too.
    let _ = tokio::time::timeout(LONG, socket.read_to_end(&mut bytes)).await.expect("the server closes");
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_connection_stays_open_for_the_next_request() {
    let service = Service::start(limits(), None).await;
    let mut socket = service.connect().await;
    for path in ["/one", "/two"] {
        assert!(ask(&mut socket, path).await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

#[tokio::test]
async fn slow_heads_and_idle_connections_are_closed() {
    let service =
        Service::start(ConnectionLimits { head_timeout: SHORT, idle_timeout: SHORT * 4, ..limits() }, None).await;
    let mut silent = service.connect().await;
    let mut dribbling = service.connect().await;
    dribbling.write_all(b"GET / HTTP/1.1\r\nhost").await.unwrap();
    let mut idle = service.connect().await;
    let start = Instant::now();
    ask(&mut idle, "/done").await;
    let ((), ()) = tokio::join!(
        async {
            assert_eq!(until_closed(&mut silent).await, "");
            assert_eq!(until_closed(&mut dribbling).await, "");
            assert!(start.elapsed() < SHORT * 4, "{:?}", start.elapsed());
        },
        async {
            assert_eq!(until_closed(&mut idle).await, "");
            assert!(start.elapsed() >= SHORT * 4, "{:?}", start.elapsed());
        }
    );
}

#[tokio::test]
async fn a_long_request_is_not_idle() {
    let short = ConnectionLimits { head_timeout: SHORT / 4, idle_timeout: SHORT / 4, ..limits() };
    let service = Service::start(short, None).await;
    assert!(ask(&mut service.connect().await, "/slow").await.contains("200 OK"));
}

#[tokio::test]
async fn malformed_and_oversized_requests_are_refused_and_others_are_served() {
    let service = Service::start(limits(), None).await;
    let many = "x: y\r\n".repeat(200);
    let cases = [
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned(), " 400 "),
        ("GET / HTTP/1.1\r\nbad header\r\n\r\n".to_owned(), " 400 "),
        ("GET /\u{1} HTTP/1.1\r\n\r\n".to_owned(), " 400 "),
        ("POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n".to_owned(), " 400 "),
        ("POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".to_owned(), " 400 "),
        (format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(33 * 1024)), " 431 "),
        (format!("GET / HTTP/1.1\r\n{many}\r\n"), " 431 "),
    ];
    for (bytes, status) in cases {
        let mut socket = service.connect().await;
        socket.write_all(bytes.as_bytes()).await.unwrap();
        let text = until_closed(&mut socket).await;
        assert!(text.lines().next().unwrap_or_default().contains(status), "{bytes:.60?} gives {text:?}");
    }
    ask(&mut service.connect().await, "/fine").await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_closed_and_frees_its_slot() {
    let service = Service::start(ConnectionLimits { connections: 1, stall_timeout: SHORT, ..limits() }, None).await;
    let mut deaf = service.connect().await;
    deaf.write_all(b"GET /flood HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    deaf.readable().await.unwrap();
    assert!(until_closed(&mut service.connect().await).await.starts_with("HTTP/1.1 503 "));
    tokio::time::timeout(LONG, async {
        while !is_served(&service).await {
            tokio::time::sleep(SHORT / 4).await;
        }
    })
    .await
    .expect("the slot is free again");
}

async fn is_served(service: &Service) -> bool {
    let mut socket = service.connect().await;
    let request = b"GET /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    socket.write_all(request).await.is_ok() && until_closed(&mut socket).await.contains(" 200 OK")
}

#[tokio::test]
async fn a_connection_too_many_gets_503_and_an_upgraded_socket_keeps_its_slot() {
    let service = Service::start(ConnectionLimits { connections: 1, ..limits() }, None).await;
    let mut upgraded = service.connect().await;
    upgraded
        .write_all(b"GET /upgrade HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n")
        .await
        .unwrap();
    assert!(head_and_body(&mut upgraded, "\r\n\r\n").await.starts_with("HTTP/1.1 101 "));
    upgraded.write_all(b"ping").await.unwrap();
    assert_eq!(head_and_body(&mut upgraded, "ping").await, "ping");

    let mut second = service.connect().await;
    second.write_all(b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let refusal = until_closed(&mut second).await;
    assert!(refusal.starts_with("HTTP/1.1 503 ") && refusal.contains("retry-after: 1"), "{refusal}");

    drop(upgraded);
    tokio::time::timeout(LONG, async {
        while !is_served(&service).await {
            tokio::time::sleep(SHORT / 10).await;
        }
    })
    .await
    .expect("the slot is free again");
}

#[tokio::test]
async fn stopping_finishes_responses_closes_idle_connections_and_accepts_no_more() {
    let service = Service::start(limits(), None).await;
    let mut idle = service.connect().await;
    ask(&mut idle, "/idle").await;
    let unused = service.connect().await;
    let mut busy = service.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(SHORT / 4).await;

    let address = service.address;
    let answer = tokio::spawn(async move { until_closed(&mut busy).await });
    let closed = tokio::spawn(async move { until_closed(&mut idle).await });
    let (cut, took) = service.stop().await;
    assert_eq!(cut, 0);
    assert!(took < LONG / 2, "{took:?}");
    assert!(answer.await.unwrap().ends_with("/slow"));
    assert_eq!(closed.await.unwrap(), "");
    assert!(TcpStream::connect(address).await.is_err());
    drop(unused);
}

#[tokio::test]
async fn open_connections_are_closed_at_the_end_of_the_drain() {
    let service = Service::start(ConnectionLimits { drain: SHORT, ..limits() }, None).await;
    let mut endless = service.connect().await;
    endless.write_all(b"GET /flood HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let reader = tokio::spawn(async move {
        let mut chunk = vec![0; 64 * 1024];
        while endless.read(&mut chunk).await.is_ok_and(|size| size > 0) {}
    });
    tokio::time::sleep(SHORT / 4).await;
    let (cut, took) = service.stop().await;
    assert_eq!(cut, 1);
    assert!(took >= SHORT, "{took:?}");
    tokio::time::timeout(LONG, reader).await.expect("the connection is closed").unwrap();
}

#[tokio::test]
async fn an_address_in_use_is_a_one_line_error() {
    let service = Service::start(limits(), None).await;
    let error = Listener::bind("test", "RPC_LISTEN", service.address, None).await.err().unwrap().to_string();
    let address = service.address;
    assert_eq!(error, format!("RPC_LISTEN: address {address} is already in use (is another threadline running?)"));
    let foreign = Listener::bind("test", "RPC_LISTEN", "192.0.2.1:80".parse().unwrap(), None).await.err().unwrap();
    assert_eq!(foreign.to_string(), "RPC_LISTEN: address 192.0.2.1:80 is not an address of this machine");
}

struct Certificate {
    files: TlsFiles,
    der: CertificateDer<'static>,
}

impl Certificate {
    fn make(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let file = |what: &str, text: String| {
            let path = std::env::temp_dir().join(format!("threadline-{}-{name}-{what}.pem", std::process::id()));
            std::fs::write(&path, text).unwrap();
            path
        };
        let files =
            TlsFiles { cert: file("cert", made.cert.pem()), key: file("key", made.signing_key.serialize_pem()) };
        Self { files, der: made.cert.der().clone() }
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        for file in [&self.files.cert, &self.files.key] {
            let _ = std::fs::remove_file(file);
        }
    }
}

#[tokio::test]
async fn tls_serves_clients_that_trust_the_certificate_and_survives_plain_text() {
    let certificate = Certificate::make("serves");
    let service = Service::start(
        ConnectionLimits { head_timeout: SHORT, ..limits() },
        Some(Certificates::load(&certificate.files).unwrap().acceptor().unwrap()),
    )
    .await;
    let mut silent = service.connect().await;
    let mut plain = service.connect().await;
    plain.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();

    let mut roots = RootCertStore::empty();
    roots.add(certificate.der.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").unwrap();
    let mut socket = connector.connect(name, service.connect().await).await.unwrap();
    assert!(ask(&mut socket, "/secret").await.contains("200 OK"));

    drop(socket);
    until_closed_bytes(&mut plain).await;
    until_closed_bytes(&mut silent).await;
    assert_eq!(service.stop().await.0, 0);
}

async fn until_closed_bytes(socket: &mut TcpStream) {
    let mut alert = Vec::new();
    let _ = tokio::time::timeout(LONG, socket.read_to_end(&mut alert)).await.expect("the server closes");
    assert!(alert.len() < 16, "no more than an alert: {alert:?}");
}

#[tokio::test]
async fn errors_of_certificate_files_name_the_variable() {
    let (one, other) = (Certificate::make("one"), Certificate::make("other"));
    let (cert, key) = (one.files.cert.clone(), one.files.key.clone());
    let variable = |cert: &std::path::Path, key: &std::path::Path| {
        let error = Certificates::load(&TlsFiles { cert: cert.into(), key: key.into() }).err().unwrap();
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
        error.variable
    };
    let nowhere = std::path::Path::new("/nonexistent.pem");
    assert_eq!(variable(nowhere, &key), "TLS_CERT_FILE");
    assert_eq!(variable(&cert, nowhere), "TLS_KEY_FILE");
    assert_eq!(variable(&key, &key), "TLS_CERT_FILE");
    assert_eq!(variable(&cert, &cert), "TLS_KEY_FILE");
    assert_eq!(variable(&cert, &other.files.key), "TLS_KEY_FILE");
}
