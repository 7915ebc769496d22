//! Reads the body of a request, within a size and a time.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body::Body;
use http_body_util::BodyExt;
use std::error::Error;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;
use threadline_runtime::{ByteBudget, ByteHold};
use threadline_schema::head::{is_json, network_of};
use threadline_schema::{ErrorCode, RpcError};

/// The error that stopped the reading of a body. Where the next request starts is then unknown, so the connection has
/// to be closed.
#[derive(Debug)]
pub(crate) struct BodyError(pub(crate) RpcError);

/// Largest body for which no memory is taken, and no token checked, in bytes: it costs no more than its connection.
pub(crate) const SMALL_BYTES: usize = 16 * 1024;

/// Memory for the body of one request, out of that for all bodies: as much as has arrived, whatever is announced. It is
/// given back when this is dropped.
pub(crate) struct BodyMemory(Option<ByteHold>);

impl BodyMemory {
    /// Takes nothing yet. `ip` is the address of the client.
    pub(crate) fn new(budget: &ByteBudget, ip: IpAddr) -> Self {
        Self(budget.take(Some(network_of(ip)), 0))
    }

    /// Makes sure that there is memory for so many bytes of the body.
    fn reserve(&mut self, bytes: usize) -> Result<(), BodyError> {
        if bytes <= SMALL_BYTES || self.0.as_mut().is_some_and(|hold| hold.grow_to(bytes)) {
            return Ok(());
        }
        metrics::counter!("threadline_input_refused_total", "reason" => "budget").increment(1);
        let message = "The server reads too many large requests at the moment. Please try again.";
        Err(BodyError(RpcError::new(ErrorCode::ServiceUnavailable, message).with("retry_after", 2)))
    }
}

/// Reads the whole body. `check` is awaited before more than a little of it is read.
///
/// # Errors
/// PAYLOAD_TOO_LARGE for more than `limit` bytes; INVALID_REQUEST when the body takes longer than `timeout` or ends
/// early; SERVICE_UNAVAILABLE when there is no memory for it; and that of `check`.
pub(crate) async fn read_body<B>(
    body: B,
    limit: usize,
    timeout: Duration,
    memory: &mut BodyMemory,
    check: impl Future<Output = Result<(), RpcError>>,
) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    // Rejects a larger Content-Length before anything is read.
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Err(too_large(limit));
    }
    let mut check = Some(check);
    if announced > SMALL_BYTES as u64
        && let Some(check) = check.take()
    {
        check.await.map_err(BodyError)?;
    }
    let read = async {
        let mut body = std::pin::pin!(body);
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|error| interrupted(&*error.into()))?.into_data() else { continue };
            let total = bytes.len().saturating_add(data.len());
            if total > limit {
                return Err(too_large(limit));
            }
            if total > SMALL_BYTES
                && let Some(check) = check.take()
            {
                check.await.map_err(BodyError)?;
            }
            memory.reserve(total)?;
            bytes.extend_from_slice(&data);
        }
        Ok(bytes.freeze())
    };
    tokio::time::timeout(timeout, read).await.unwrap_or_else(|_| Err(too_slow(timeout)))
}

/// A body that is read in chunks, and never in memory as a whole.
pub(crate) struct BodyChunks<B> {
    body: Pin<Box<B>>,
    /// Bytes of the next chunk.
    next_size: usize,
    /// Bytes of each chunk after the first.
    chunk_size: usize,
    memory: BodyMemory,
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
    /// Reads a first chunk of `first_size` bytes, and then chunks of `chunk_size` bytes.
    pub(crate) fn new(body: B, first_size: usize, chunk_size: usize, timeout: Duration, memory: BodyMemory) -> Self {
        let (body, buffer) = (Box::pin(body), BytesMut::new());
        Self { body, next_size: first_size, chunk_size, memory, timeout, buffer, ended: false }
    }

    /// Returns the next chunk, and whether it is the last. All chunks but the last have their full size.
    pub(crate) async fn next(&mut self) -> Result<(Bytes, bool), BodyError> {
        match tokio::time::timeout(self.timeout, self.fill()).await {
            Ok(filled) => filled?,
            Err(_) => return Err(too_slow(self.timeout)),
        }
        let size = std::mem::replace(&mut self.next_size, self.chunk_size);
        if self.buffer.len() > size {
            return Ok((self.buffer.split_to(size).freeze(), false));
        }
        Ok((self.buffer.split().freeze(), true))
    }

    /// Reads more than one chunk, or to the end. Without a byte more it is unknown whether a chunk is the last.
    async fn fill(&mut self) -> Result<(), BodyError> {
        while self.buffer.len() <= self.next_size && !self.ended {
            match self.body.frame().await {
                None => self.ended = true,
                Some(Err(error)) => return Err(interrupted(&*error.into())),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.memory.reserve(self.buffer.len().saturating_add(data.len()))?;
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

    fn memory() -> BodyMemory {
        BodyMemory::new(&ByteBudget::new(8 * 64 * 1024), IpAddr::from([192, 0, 2, 1]))
    }

    async fn read<B>(body: B, limit: usize) -> Result<Bytes, BodyError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        read_body(body, limit, TIMEOUT, &mut memory(), async { Ok(()) }).await
    }

    fn frames(frames: &[&'static [u8]]) -> impl Body<Data = Bytes, Error = Infallible> {
        let frames: Vec<_> = frames.iter().map(|data| Ok(Frame::data(Bytes::from_static(data)))).collect();
        StreamBody::new(stream::iter(frames))
    }

    #[tokio::test]
    async fn a_body_is_put_together() {
        assert_eq!(read(frames(&[b"ab", b"", b"cd", b"e"]), 5).await.unwrap(), "abcde");
        assert_eq!(read(frames(&[]), 5).await.unwrap(), "");
    }

    #[tokio::test]
    async fn the_limit_holds_for_the_announced_and_the_received_size() {
        for result in
            [read(Full::new(Bytes::from_static(b"abcdef")), 5).await, read(frames(&[b"abc", b"def"]), 5).await]
        {
            assert_eq!(result.unwrap_err().0.code, ErrorCode::PayloadTooLarge);
        }
    }

    #[tokio::test]
    async fn the_token_is_checked_before_more_than_a_little_is_read() {
        let refused = async || Err(RpcError::new(ErrorCode::Unauthorized, "No."));
        let piece: &'static [u8] = &[b'x'; SMALL_BYTES];
        let small = read_body(frames(&[piece]), 1 << 20, TIMEOUT, &mut memory(), refused()).await;
        assert_eq!(small.unwrap().len(), SMALL_BYTES);
        // Not announced, and announced without a byte of it.
        let large = read_body(frames(&[piece, b"x"]), 1 << 20, TIMEOUT, &mut memory(), refused()).await;
        assert_eq!(large.unwrap_err().0.code, ErrorCode::Unauthorized);
        let announced = Full::new(Bytes::from_static(&[b'x'; SMALL_BYTES + 1]));
        let announced = read_body(announced, 1 << 20, TIMEOUT, &mut memory(), refused()).await;
        assert_eq!(announced.unwrap_err().0.code, ErrorCode::Unauthorized);
    }

    #[tokio::test]
    async fn what_has_arrived_takes_memory_and_one_address_has_an_eighth() {
        let budget = ByteBudget::new(8 * 64 * 1024);
        let ip = IpAddr::from([192, 0, 2, 1]);
        let piece: &'static [u8] = &[b'x'; 30 * 1024];
        let mut first = BodyMemory::new(&budget, ip);
        let begun = StreamBody::new(stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(piece)))]));
        read_body(begun, 1 << 20, TIMEOUT, &mut first, async { Ok(()) }).await.unwrap();
        assert_eq!(budget.used(), 30 * 1024);
        let mut second = BodyMemory::new(&budget, ip);
        let refused = read_body(frames(&[piece, piece]), 1 << 20, TIMEOUT, &mut second, async { Ok(()) }).await;
        assert_eq!(refused.unwrap_err().0.code, ErrorCode::ServiceUnavailable);
        let mut other = BodyMemory::new(&budget, IpAddr::from([192, 0, 2, 2]));
        read_body(frames(&[piece, piece]), 1 << 20, TIMEOUT, &mut other, async { Ok(()) }).await.unwrap();
        drop((first, second, other));
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn a_body_that_fails_is_an_invalid_request() {
        let body = StreamBody::new(stream::iter([Err::<Frame<Bytes>, _>(std::io::Error::other("reset"))]));
        let error = read(body, 5).await.unwrap_err().0;
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::InvalidRequest, "The request body ended early."));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_times_out() {
        let start = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"a")))]);
        let body = StreamBody::new(start.chain(stream::pending()));
        let error = read(body, 5).await.unwrap_err().0;
        assert_eq!(error.code, ErrorCode::InvalidRequest);
        assert!(error.message.contains("did not arrive in time"));
    }

    #[tokio::test]
    async fn all_chunks_but_the_last_have_the_full_size() {
        let chunks = async |data: &[&'static [u8]]| {
            let mut body = BodyChunks::new(frames(data), 3, 3, TIMEOUT, memory());
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
        let mut body = BodyChunks::new(StreamBody::new(start.chain(stream::pending())), 3, 3, TIMEOUT, memory());
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
