//! Reading a request's body, within a size and a time.

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use http_body::Body;
use std::fmt::Display;
use std::pin::pin;
use std::time::Duration;
use threadline_schema::{ErrorCode, RpcError};

/// Why a body was not read. The connection must close then: where the next request begins is unknown.
#[derive(Debug)]
pub(crate) struct Unread(pub(crate) RpcError);

/// Reads the whole body.
pub(crate) async fn receive<B>(body: B, limit: usize, patience: Duration) -> Result<Bytes, Unread>
where
    B: Body<Data = Bytes>,
    B::Error: Display,
{
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    match tokio::time::timeout(patience, collect(body, limit)).await {
        Ok(result) => result,
        Err(_) => Err(Unread(RpcError::new(
            ErrorCode::InvalidRequest,
            format!("The body did not arrive in time; the server waits {} s.", patience.as_secs_f32()),
        ))),
    }
}

/// Refuses a body that is not said to be JSON. Without a body there is nothing to say.
pub(crate) fn require_json(headers: &HeaderMap, body: &[u8]) -> Result<(), RpcError> {
    if body.is_empty() || headers.get(CONTENT_TYPE).is_some_and(is_json) {
        return Ok(());
    }
    Err(RpcError::new(ErrorCode::UnsupportedMediaType, "Send the body as content-type: application/json."))
}

fn is_json(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

async fn collect<B>(body: B, limit: usize) -> Result<Bytes, Unread>
where
    B: Body<Data = Bytes>,
    B::Error: Display,
{
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|error| {
            tracing::debug!(%error, "a request's body broke off");
            Unread(RpcError::new(ErrorCode::InvalidRequest, "The body broke off."))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + rest.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        // Most bodies come in one piece, which needs no copy.
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

fn too_large(limit: usize) -> Unread {
    Unread(RpcError::new(ErrorCode::PayloadTooLarge, format!("The body may have {limit} bytes at most.")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{StreamExt, stream};
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};
    use std::convert::Infallible;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn pieces(pieces: &[&'static [u8]]) -> impl Body<Data = Bytes, Error = Infallible> {
        let frames: Vec<_> = pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece)))).collect();
        StreamBody::new(stream::iter(frames))
    }

    #[tokio::test]
    async fn a_body_is_put_together() {
        assert_eq!(receive(pieces(&[b"ab", b"", b"cd", b"e"]), 5, PATIENCE).await.unwrap(), "abcde");
        assert_eq!(receive(pieces(&[]), 5, PATIENCE).await.unwrap(), "");
    }

    #[tokio::test]
    async fn the_limit_holds_for_what_is_announced_and_what_comes() {
        for result in [
            receive(Full::new(Bytes::from_static(b"abcdef")), 5, PATIENCE).await,
            receive(pieces(&[b"abc", b"def"]), 5, PATIENCE).await,
        ] {
            assert_eq!(result.unwrap_err().0.code, ErrorCode::PayloadTooLarge);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_is_given_up() {
        let start = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"a")))]);
        let body = StreamBody::new(start.chain(stream::pending()));
        let error = receive(body, 5, PATIENCE).await.unwrap_err().0;
        assert_eq!(error.code, ErrorCode::InvalidRequest);
        assert!(error.message.contains("did not arrive in time"));
    }

    #[test]
    fn json_has_several_names() {
        let check = |kind: Option<&'static str>, body: &[u8]| {
            let headers = kind.map(|kind| (CONTENT_TYPE, HeaderValue::from_static(kind))).into_iter().collect();
            require_json(&headers, body).is_ok()
        };
        for kind in ["application/json", "Application/JSON; charset=utf-8", "application/problem+json"] {
            assert!(check(Some(kind), b"{}"), "{kind}");
        }
        for kind in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("text/json+json")] {
            assert!(!check(kind, b"{}"), "{kind:?}");
            assert!(check(kind, b""), "without a body {kind:?} does not matter");
        }
    }
}
