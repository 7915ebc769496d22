//! Reading a request's body, within a size and a time.

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use http_body::Body;
use std::fmt::Display;
use std::pin::{Pin, pin};
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
        Err(_) => Err(late(patience)),
    }
}

/// A body that is handed on in pieces, and never held as a whole.
pub(crate) struct Pieces<B> {
    body: Pin<Box<B>>,
    /// Bytes of a piece.
    bytes: usize,
    /// Longest time a piece may take to arrive.
    patience: Duration,
    read: BytesMut,
    ended: bool,
}

impl<B> Pieces<B>
where
    B: Body<Data = Bytes>,
    B::Error: Display,
{
    pub(crate) fn new(body: B, bytes: usize, patience: Duration) -> Self {
        Self { body: Box::pin(body), bytes, patience, read: BytesMut::new(), ended: false }
    }

    /// The next piece, and whether it is the last; all but the last are of full size.
    pub(crate) async fn next(&mut self) -> Result<(Bytes, bool), Unread> {
        match tokio::time::timeout(self.patience, self.fill()).await {
            Ok(filled) => filled?,
            Err(_) => return Err(late(self.patience)),
        }
        if self.read.len() > self.bytes {
            return Ok((self.read.split_to(self.bytes).freeze(), false));
        }
        Ok((self.read.split().freeze(), true))
    }

    /// Reads until there is more than one piece: only then it is known that the first is not the last.
    async fn fill(&mut self) -> Result<(), Unread> {
        while self.read.len() <= self.bytes && !self.ended {
            match std::future::poll_fn(|cx| self.body.as_mut().poll_frame(cx)).await {
                None => self.ended = true,
                Some(Err(error)) => return Err(broken_off(error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
            }
        }
        Ok(())
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
        let frame = frame.map_err(broken_off)?;
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

fn broken_off(error: impl Display) -> Unread {
    tracing::debug!(%error, "a request's body broke off");
    Unread(RpcError::new(ErrorCode::InvalidRequest, "The body broke off."))
}

fn late(patience: Duration) -> Unread {
    let message = format!("The body did not arrive in time; the server waits {} s.", patience.as_secs_f32());
    Unread(RpcError::new(ErrorCode::InvalidRequest, message))
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

    #[tokio::test]
    async fn a_body_is_cut_into_pieces_of_full_size_but_the_last() {
        let cut = async |frames: &[&'static [u8]]| {
            let mut body = Pieces::new(pieces(frames), 3, PATIENCE);
            let mut read = Vec::new();
            loop {
                let (piece, last) = body.next().await.unwrap();
                read.push(String::from_utf8(piece.to_vec()).unwrap());
                if last {
                    return read.join("|");
                }
            }
        };
        assert_eq!(cut(&[b"ab", b"", b"cdefg", b"h"]).await, "abc|def|gh");
        assert_eq!(cut(&[b"abc", b"def"]).await, "abc|def", "a whole number of pieces");
        assert_eq!(cut(&[]).await, "", "one piece, with nothing in it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_piece_that_stalls_is_given_up() {
        let start = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"abcd")))]);
        let mut body = Pieces::new(StreamBody::new(start.chain(stream::pending())), 3, PATIENCE);
        assert_eq!(body.next().await.unwrap(), (Bytes::from_static(b"abc"), false));
        assert!(body.next().await.unwrap_err().0.message.contains("did not arrive in time"));
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
