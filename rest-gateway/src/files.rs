//! Rows whose body, or whose answer, is a file: it travels to and from the core in pieces, a call each.

use crate::answer::{Answer, Outcome};
use crate::bind::Bound;
use crate::calls::tell;
use crate::receive::{Pieces, Unread};
use crate::reply::ReplyInfo;
use crate::rule::Rule;
use crate::upstream::{Call, Refusal, Upstream};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryFutureExt};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY};
use http_body::Body;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use std::fmt::Display;
use std::sync::Arc;
use threadline_schema::attachments::{AttachmentsReadParams, AttachmentsWriteParams, Piece, Upload};
use threadline_schema::call::{Caller, ResponseMeta};
use threadline_schema::rpc::MethodInfo;
use threadline_schema::{ErrorCode, RpcError};
use uuid::Uuid;

/// Nothing in a file may run, wherever a browser shows it.
const FILE_POLICY: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'; frame-ancestors 'none'");
/// A preview stays the same as long as it is there.
const ONE_DAY: HeaderValue = HeaderValue::from_static("private, max-age=86400");

/// What stands for itself in the name of a file (RFC 8187).
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What of a file's params the URL gives.
#[derive(Deserialize)]
struct Named {
    attachment_id: Uuid,
    #[serde(default)]
    token: Option<String>,
}

/// Hands a body on, piece by piece, and replies with how the last one was taken.
pub(crate) async fn take<B>(
    rule: &Rule,
    (method, reply): (&MethodInfo, &ReplyInfo),
    bound: &Bound,
    upstream: &dyn Upstream,
    caller: Caller,
    mut body: Pieces<B>,
) -> Outcome
where
    B: Body<Data = Bytes>,
    B::Error: Display,
{
    let Named { attachment_id, token } = serde_json::from_str(bound.params.get()).map_err(unreadable)?;
    let (mut upload_id, mut offset) = (None, 0);
    let mut facts: Option<ResponseMeta> = None;
    loop {
        let (piece, last) = body.next().await?;
        let bytes = piece.len() as u64;
        let data = BASE64.encode(piece);
        let params = AttachmentsWriteParams { attachment_id, token: token.clone(), upload_id, offset, data, last };
        let params = to_raw_value(&params).map_err(unreadable)?;
        let call = Call { method: method.name, params, caller: caller.clone() };
        let answered = upstream.call(call).await.map_err(|refusal| tell(rule, refusal));
        let answer = match answered {
            Ok(answer) => answer,
            Err(refusal) if last => return Err(refusal.into()),
            Err(refusal) => return Err(with_the_rest_unread(refusal)),
        };
        // The limits are those of the first call: the others belong to the same request.
        let db = answer.facts.db_time;
        let facts = match &mut facts {
            Some(facts) => {
                facts.db_time += db;
                facts
            }
            none => none.insert(answer.facts),
        };
        if last {
            let body = reply.body(&answer.result, &bound.named).map_err(unreadable)?;
            return Ok(Answer::json(rule.status, body).with_facts(facts.clone()));
        }
        let upload: Upload = serde_json::from_str(answer.result.get()).map_err(unreadable)?;
        upload_id = Some(upload.upload_id);
        offset += bytes;
    }
}

/// Replies with a file: the first piece decides the head, and the others follow as they are read.
pub(crate) async fn give(rule: &Rule, upstream: &Arc<dyn Upstream>, call: Call) -> Outcome {
    let params: AttachmentsReadParams = serde_json::from_str(call.params.get()).map_err(unreadable)?;
    let Call { method, caller, .. } = call;
    let source = Source { upstream: upstream.clone(), method, params, caller };
    let (piece, facts) = source.read(0).await.map_err(|refusal| tell(rule, refusal))?;
    let bytes = BASE64.decode(&piece.data).map_err(unreadable)?;
    let kind = if source.params.preview { "inline" } else { "attachment" };
    let is_preview = source.params.preview;
    let mut answer = Answer::file(shown_as(&piece.mime_type), source.rest(bytes.into(), piece.size));
    answer.headers.insert(CONTENT_LENGTH, piece.size.into());
    answer.headers.insert(CONTENT_SECURITY_POLICY, FILE_POLICY);
    if let Ok(value) = HeaderValue::from_str(&disposition(kind, &piece.name)) {
        answer.headers.insert(CONTENT_DISPOSITION, value);
    }
    if is_preview {
        answer.headers.insert(CACHE_CONTROL, ONE_DAY);
    }
    Ok(answer.with_facts(facts))
}

/// A file in the core.
struct Source {
    upstream: Arc<dyn Upstream>,
    method: &'static str,
    params: AttachmentsReadParams,
    caller: Caller,
}

impl Source {
    async fn read(&self, offset: u64) -> Result<(Piece, ResponseMeta), Refusal> {
        let params = AttachmentsReadParams { offset, ..self.params.clone() };
        let params: Box<RawValue> = to_raw_value(&params).map_err(|error| plain(internal(error)))?;
        let answer = self.upstream.call(Call { method: self.method, params, caller: self.caller.clone() }).await?;
        let piece = serde_json::from_str(answer.result.get()).map_err(|error| plain(internal(error)))?;
        Ok((piece, answer.facts))
    }

    /// The first piece and those after it, each read when there is room for it. What breaks off ends early, which its
    /// reader sees by the length it was told.
    fn rest(self, first: Bytes, size: u64) -> BoxStream<'static, Bytes> {
        let begun = first.len() as u64;
        let following = stream::unfold((self, begun), move |(source, offset)| async move {
            if offset >= size {
                return None;
            }
            let read = source.read(offset).map_err(|refusal| refusal.error.to_string()).await;
            let bytes = read.and_then(|(piece, _)| BASE64.decode(piece.data).map_err(|error| error.to_string()));
            match bytes {
                Ok(bytes) if !bytes.is_empty() => {
                    let next = offset + bytes.len() as u64;
                    Some((Bytes::from(bytes), (source, next)))
                }
                Ok(_) => None,
                Err(error) => {
                    tracing::warn!(request_id = %source.caller.request_id, %error, "a file broke off");
                    None
                }
            }
        });
        stream::once(std::future::ready(first)).chain(following).boxed()
    }
}

/// The type a file is sent as: a browser must not take any for a page.
fn shown_as(mime_type: &str) -> HeaderValue {
    HeaderValue::from_static(match mime_type {
        "image/png" => "image/png",
        "image/jpeg" => "image/jpeg",
        "image/gif" => "image/gif",
        "image/webp" => "image/webp",
        "application/pdf" => "application/pdf",
        "application/json" => "application/json",
        text if text.starts_with("text/") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    })
}

/// `Content-Disposition` with the name twice: for all, and for those who cannot read the form for all.
fn disposition(kind: &str, name: &str) -> String {
    let simple = |letter: char| if letter.is_ascii_alphanumeric() || "-._ ".contains(letter) { letter } else { '_' };
    let fallback: String = name.chars().map(simple).collect();
    format!("{kind}; filename=\"{fallback}\"; filename*=UTF-8''{}", utf8_percent_encode(name, PLAIN))
}

fn with_the_rest_unread(refusal: Refusal) -> Box<Answer> {
    let mut answer: Box<Answer> = refusal.into();
    answer.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

fn unreadable(error: impl Display) -> Box<Answer> {
    Unread(internal(error)).into()
}

fn internal(error: impl Display) -> RpcError {
    tracing::error!(%error, "a file cannot be handed on");
    RpcError::new(ErrorCode::InternalError, "The service gave an answer that cannot be shown.")
}

fn plain(error: RpcError) -> Refusal {
    Refusal { error, facts: ResponseMeta::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_taken_for_a_page() {
        for kind in ["text/html", "text/xml", "text/javascript", "text/css", "text/markdown"] {
            assert_eq!(shown_as(kind), "text/plain; charset=utf-8", "{kind}");
        }
        for kind in ["image/svg+xml", "application/xhtml+xml", "application/javascript", "", "x"] {
            assert_eq!(shown_as(kind), "application/octet-stream", "{kind}");
        }
        assert_eq!(shown_as("image/png"), "image/png");
    }

    #[test]
    fn a_name_cannot_leave_its_place() {
        let told = disposition("attachment", "a\"; x=\r\nSet-Cookie: ü.txt");
        let expected = "attachment; filename=\"a__ x___Set-Cookie_ _.txt\"; \
                        filename*=UTF-8''a%22%3B%20x%3D%0D%0ASet-Cookie%3A%20%C3%BC.txt";
        assert_eq!(told, expected);
        assert!(HeaderValue::from_str(&told).is_ok());
    }
}
