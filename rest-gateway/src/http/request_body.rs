//! Reads the body of a request, within a size and a time.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::error::Error;
use std::pin::Pin;
use std::time::Duration;
use threadline_schema::head::is_json;
use threadline_schema::{ErrorCode, RpcError};

/// The error that stopped the reading of a body. Where the next request starts is then unknown, so the connection has
/// to be closed.
#[derive(Debug)]
pub(crate) struct BodyError(pub(crate) RpcError);

/// Reads the whole body.
///
/// # Errors
/// PAYLOAD_TOO_LARGE for more than `limit` bytes; INVALID_REQUEST when the body takes longer than `timeout` or ends
/// early.
pub(crate) async fn read_body<B>(body: B, limit: usize, timeout: Duration) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    // Rejects a larger Content-Length before anything is read.
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    match tokio::time::timeout(timeout, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limit)),
        Ok(Err(error)) => Err(interrupted(&*error)),
        Err(_) => Err(too_slow(timeout)),
    }
}

/// A body that is read in chunks, and never in memory as a whole.
pub(crate) struct BodyChunks<B> {
    body: Pin<Box<B>>,
    /// Bytes of a chunk.
    chunk_size: usize,
    /// Longest time that a chunk may take to arrive.
    timeout: Duration,
    buffer: BytesMut,
    ended: bool,
}

impl<B> BodyChunks<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    pub(crate) fn new(body: B, chunk_size: usize, timeout: Duration) -> Self {
        Self { body: Box::pin(body), chunk_size, timeout, buffer: BytesMut::new(), ended: false }
    }

    /// Returns the next chunk, and whether it is the last. All chunks but the last have the full size.
    pub(crate) async fn next(&mut self) -> Result<(Bytes, bool), BodyError> {
        match tokio::time::timeout(self.timeout, self.fill()).await {
            Ok(filled) => filled?,
            Err(_) => return Err(too_slow(self.timeout)),
        }
        if self.buffer.len() > self.chunk_size {
            return Ok((self.buffer.split_to(self.chunk_size).freeze(), false));
        }
        Ok((self.buffer.split().freeze(), true))
    }

    /// Reads more than one chunk, or to the end. Without a byte more it is unknown whether a chunk is the last.
    async fn fill(&mut self) -> Result<(), BodyError> {
        while self.buffer.len() <= self.chunk_size && !self.ended {
            match self.body.frame().await {
                None => self.ended = true,
                Some(Err(error)) => return Err(interrupted(&*error.into())),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Rejects a body whose content type is not JSON. An empty body needs no content type.
pub(crate) fn require_json(headers: &HeaderMap, body: &[u8]) -> Result<(), RpcError> {
    if body.is_empty() || headers.get(CONTENT_TYPE).is_some_and(|value| is_json(value.as_bytes())) {
        return Ok(());
    }
    Err(RpcError::new(ErrorCode::UnsupportedMediaType, "Send the body as content-type: application/json."))
}

fn interrupted(error: &(dyn Error + Send + Sync + 'static)) -> BodyError {
    tracing::debug!(%error, "request body was interrupted");
    BodyError(RpcError::new(ErrorCode::InvalidRequest, "The request body ended early."))
}

fn too_slow(timeout: Duration) -> BodyError {
    let message = format!("The body did not arrive in time; the server waits {} s.", timeout.as_secs_f32());
    BodyError(RpcError::new(ErrorCode::InvalidRequest, message))
}

fn too_large(limit: usize) -> BodyError {
    BodyError(RpcError::new(ErrorCode::PayloadTooLarge, format!("The body may have {limit} bytes at most.")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{StreamExt, stream};
    use http::HeaderValue;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};
    use std::convert::Infallible;

    const TIMEOUT: Duration = Duration::from_secs(5);

    fn frames(frames: &[&'static [u8]]) -> impl Body<Data = Bytes, Error = Infallible> {
        let frames: Vec<_> = frames.iter().map(|data| Ok(Frame::data(Bytes::from_static(data)))).collect();
        StreamBody::new(stream::iter(frames))
    }

    #[tokio::test]
    async fn a_body_is_put_together() {
        assert_eq!(read_body(frames(&[b"ab", b"", b"cd", b"e"]), 5, TIMEOUT).await.unwrap(), "abcde");
        assert_eq!(read_body(frames(&[]), 5, TIMEOUT).await.unwrap(), "");
    }

    #[tokio::test]
    async fn the_limit_holds_for_the_announced_and_the_received_size() {
        for result in [
            read_body(Full::new(Bytes::from_static(b"abcdef")), 5, TIMEOUT).await,
            read_body(frames(&[b"abc", b"def"]), 5, TIMEOUT).await,
        ] {
            assert_eq!(result.unwrap_err().0.code, ErrorCode::PayloadTooLarge);
        }
    }

    #[tokio::test]
    async fn a_body_that_fails_is_an_invalid_request() {
        let body = StreamBody::new(stream::iter([Err::<Frame<Bytes>, _>(std::io::Error::other("reset"))]));
        let error = read_body(body, 5, TIMEOUT).await.unwrap_err().0;
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::InvalidRequest, "The request body ended early."));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_times_out() {
        let start = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"a")))]);
        let body = StreamBody::new(start.chain(stream::pending()));
        let error = read_body(body, 5, TIMEOUT).await.unwrap_err().0;
        assert_eq!(error.code, ErrorCode::InvalidRequest);
        assert!(error.message.contains("did not arrive in time"));
    }

    #[tokio::test]
    async fn all_chunks_but_the_last_have_the_full_size() {
        let chunks = async |data: &[&'static [u8]]| {
            let mut body = BodyChunks::new(frames(data), 3, TIMEOUT);
            let mut chunks = Vec::new();
            loop {
                let (chunk, last) = body.next().await.unwrap();
                chunks.push(String::from_utf8(chunk.to_vec()).unwrap());
                if last {
                    return chunks.join("|");
                }
            }
        };
        assert_eq!(chunks(&[b"ab", b"", b"cdefg", b"h"]).await, "abc|def|gh");
        assert_eq!(chunks(&[b"abc", b"def"]).await, "abc|def", "a whole number of chunks");
        assert_eq!(chunks(&[]).await, "", "one empty chunk");
    }

    #[tokio::test(start_paused = true)]
    async fn a_chunk_that_stalls_times_out() {
        let start = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"abcd")))]);
        let mut body = BodyChunks::new(StreamBody::new(start.chain(stream::pending())), 3, TIMEOUT);
        assert_eq!(body.next().await.unwrap(), (Bytes::from_static(b"abc"), false));
        assert!(body.next().await.unwrap_err().0.message.contains("did not arrive in time"));
    }

    #[test]
    fn a_body_needs_the_content_type_of_json() {
        let check = |content_type: Option<&'static str>, body: &[u8]| {
            let headers = content_type.map(|value| (CONTENT_TYPE, HeaderValue::from_static(value)));
            require_json(&headers.into_iter().collect(), body).is_ok()
        };
        for json in ["application/json", "Application/JSON; charset=utf-8", "application/problem+json"] {
            assert!(check(Some(json), b"{}"), "{json}");
        }
        for other in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("text/json+json")] {
            assert!(!check(other, b"{}"), "{other:?}");
            assert!(check(other, b""), "without a body {other:?} does not matter");
        }
    }
}
