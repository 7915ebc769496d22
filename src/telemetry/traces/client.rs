//! The HTTP client of the exporter: our reqwest. It also speaks gRPC, whose one unary call is a message with five bytes
//! before it, and a status in the trailers; a gRPC library would add more code than all of the export has.

use crate::config::OtlpProtocol;
use anyhow::Context as _;
use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, TE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use opentelemetry_http::{HttpClient, HttpError};
use parking_lot::Mutex;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// An unreachable collector is logged once in this time.
const LOG_PAUSE: Duration = Duration::from_secs(60);
/// Maximum size of a response that is read, in bytes. It says which spans the collector has refused.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;
/// Bytes before a message of gRPC: whether it is compressed, and its length.
const GRPC_PREFIX: usize = 5;
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// Sends the requests of the exporter. Its thread has no runtime, so they run in that of the process.
#[derive(Debug)]
pub(super) struct OtlpClient {
    client: reqwest::Client,
    url: reqwest::Url,
    headers: HeaderMap,
    protocol: OtlpProtocol,
    timeout: Duration,
    runtime: Handle,
    /// When a failure was logged last, and how many requests have failed since.
    failures: Mutex<(Option<Instant>, u64)>,
}

impl OtlpClient {
    pub(super) fn new(
        url: &str,
        protocol: OtlpProtocol,
        headers: &[(HeaderName, HeaderValue)],
        timeout: Duration,
    ) -> anyhow::Result<Self> {
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("threadline/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            // The headers can be keys.
            .redirect(reqwest::redirect::Policy::none());
        if protocol == OtlpProtocol::Grpc {
            client = client.http2_prior_knowledge();
        }
        Ok(Self {
            client: client.build().context("the client for traces cannot be created")?,
            url: url.parse().context("OTEL_EXPORTER_OTLP_ENDPOINT is no URL")?,
            headers: headers.iter().cloned().collect(),
            protocol,
            timeout,
            runtime: Handle::current(),
            failures: Mutex::new((None, 0)),
        })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let mut headers = head.headers;
        let body = match self.protocol {
            OtlpProtocol::Http => body,
            OtlpProtocol::Grpc => {
                let encoding = headers.remove(CONTENT_ENCODING);
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                headers.insert(TE, HeaderValue::from_static("trailers"));
                let body = grpc_message(&body, encoding.is_some())?;
                headers.extend(encoding.map(|encoding| (GRPC_ENCODING, encoding)));
                body
            }
        };
        headers.extend(self.headers.clone());
        let mut request = reqwest::Request::new(Method::POST, self.url.clone());
        *request.headers_mut() = headers;
        *request.body_mut() = Some(body.into());
        *request.timeout_mut() = Some(self.timeout);
        // The URL can hold a password.
        let response = self.client.execute(request).await.map_err(reqwest::Error::without_url)?;
        let (head, body) = Response::<reqwest::Body>::from(response).into_parts();
        let (body, trailers) = read_body(body).await?;
        let response = Response::from_parts(head, body);
        match self.protocol {
            OtlpProtocol::Http => Ok(response),
            OtlpProtocol::Grpc => Ok(as_http(response, trailers.as_ref())),
        }
    }

    /// Logs a failure, if none was logged within the last minute.
    fn report(&self, problem: &dyn std::fmt::Display) {
        let failed_before = {
            let (logged, failed) = &mut *self.failures.lock();
            if logged.is_some_and(|logged| logged.elapsed() < LOG_PAUSE) {
                *failed += 1;
                return;
            }
            *logged = Some(Instant::now());
            std::mem::take(failed)
        };
        tracing::warn!(
            target: "threadline::traces", problem = %problem, failed_before,
            "the collector does not take spans, so they are lost; the service continues"
        );
    }
}

#[async_trait]
impl HttpClient for OtlpClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let send = pin!(self.send(request));
        let result = InRuntime { runtime: &self.runtime, future: send }.await;
        match &result {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => self.report(&format_args!("it answers with status {}", response.status())),
            Err(error) => self.report(&Causes(&**error)),
        }
        result
    }
}

/// Polls a future in the context of a runtime, from a thread that is not one of the runtime's.
struct InRuntime<'r, F> {
    runtime: &'r Handle,
    future: Pin<&'r mut F>,
}

impl<F: Future> Future for InRuntime<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let runtime = self.runtime;
        let _entered = runtime.enter();
        self.future.as_mut().poll(cx)
    }
}

/// An error with its causes, which say more than itself.
struct Causes<'e>(&'e (dyn std::error::Error + 'static));

impl std::fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut error = self.0;
        while let Some(cause) = error.source() {
            write!(f, ": {cause}")?;
            error = cause;
        }
        Ok(())
    }
}

/// Returns the message with the prefix of gRPC.
fn grpc_message(body: &Bytes, is_compressed: bool) -> Result<Bytes, HttpError> {
    let mut message = BytesMut::with_capacity(GRPC_PREFIX + body.len());
    message.put_u8(u8::from(is_compressed));
    message.put_u32(u32::try_from(body.len())?);
    message.put_slice(body);
    Ok(message.freeze())
}

/// Reads a body up to the limit, and its trailers.
async fn read_body(body: reqwest::Body) -> Result<(Bytes, Option<HeaderMap>), HttpError> {
    let mut body = pin!(body);
    let (mut bytes, mut trailers) = (BytesMut::new(), None);
    while let Some(frame) = body.frame().await {
        match frame.map_err(reqwest::Error::without_url)?.into_data() {
            Ok(data) if bytes.len() + data.len() <= MAX_RESPONSE_BYTES => bytes.extend_from_slice(&data),
            Ok(_) => return Err("the response is too long".into()),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((bytes.freeze(), trailers))
}

/// Returns the response that a collector would give over HTTP. A response that is nothing but an error has its status
/// in the head.
fn as_http(response: Response<Bytes>, trailers: Option<&HeaderMap>) -> Response<Bytes> {
    let (mut head, body) = response.into_parts();
    let status = trailers.and_then(|trailers| trailers.get(GRPC_STATUS)).or_else(|| head.headers.get(GRPC_STATUS));
    let status = status.and_then(|status| status.to_str().ok()?.parse::<u8>().ok());
    head.status = match status {
        Some(0) => StatusCode::OK,
        // Those that the protocol lets a client repeat: cancelled, too late, out of range, aborted, unavailable, data
        // loss.
        Some(1 | 4 | 8 | 10 | 11 | 14 | 15) => StatusCode::SERVICE_UNAVAILABLE,
        Some(16) => StatusCode::UNAUTHORIZED,
        Some(7) => StatusCode::FORBIDDEN,
        Some(_) => StatusCode::BAD_REQUEST,
        None if head.status.is_success() => StatusCode::BAD_GATEWAY,
        None => head.status,
    };
    let message = if body.len() > GRPC_PREFIX { body.slice(GRPC_PREFIX..) } else { Bytes::new() };
    Response::from_parts(head, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_grpc_has_its_length_before_it() {
        let message = grpc_message(&Bytes::from_static(b"abc"), false).unwrap();
        assert_eq!(&message[..], b"\0\0\0\0\x03abc");
        assert_eq!(grpc_message(&Bytes::new(), true).unwrap()[..], [1, 0, 0, 0, 0]);
    }

    #[test]
    fn a_status_of_grpc_is_in_the_trailers_or_in_the_head() {
        let status = |status: &'static str| HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static(status))]);
        let response = || Response::new(Bytes::from_static(b"\0\0\0\0\x01x"));
        let taken = as_http(response(), Some(&status("0")));
        assert_eq!((taken.status(), &taken.body()[..]), (StatusCode::OK, &b"x"[..]));
        assert_eq!(as_http(response(), Some(&status("14"))).status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(as_http(response(), None).status(), StatusCode::BAD_GATEWAY);
        let mut refused = Response::new(Bytes::new());
        *refused.headers_mut() = status("16");
        assert_eq!(as_http(refused, None).status(), StatusCode::UNAUTHORIZED);
    }
}
