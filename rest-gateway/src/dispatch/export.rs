//! The operation that responds with an archive. It comes from the core in pieces of whole lines, one call each.

use super::errors::{invalid_result, translate};
use crate::response::{Response, ResponseResult};
use crate::rule::Rule;
use crate::upstream::{Call, CallError, Upstream};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http::HeaderValue;
use http::header::CONTENT_DISPOSITION;
use serde_json::value::to_raw_value;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::ErrorCode;
use threadline_schema::auth::{ExportPiece, ExportPosition};
use threadline_schema::call::{Caller, ResponseMeta};

const JSON_LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");
const AS_FILE: HeaderValue = HeaderValue::from_static("attachment; filename=\"threadline-export.jsonl\"");
/// How often one piece is asked for while the core is too busy, and how long it is waited for at most each time.
const MAX_TRIES: u32 = 30;
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Responds with an archive. The first piece decides the status; the others are read while the body is sent.
pub(super) async fn export(rule: &Rule, upstream: &Arc<dyn Upstream>, call: Call) -> ResponseResult {
    let reader = PieceReader { upstream: upstream.clone(), method: call.method, caller: call.caller };
    let (first, meta) = reader.read(None).await.map_err(|error| translate(rule, error))?;
    let response = Response::file(JSON_LINES, reader.into_stream(first)).with_header(CONTENT_DISPOSITION, AS_FILE);
    Ok(response.with_meta(meta))
}

/// Reads one archive from the core.
struct PieceReader {
    upstream: Arc<dyn Upstream>,
    method: &'static str,
    caller: Caller,
}

impl PieceReader {
    async fn read(&self, cursor: Option<String>) -> Result<(ExportPiece, ResponseMeta), CallError> {
        let invalid = |error: &dyn std::fmt::Display| invalid_result(&self.caller.request_id, self.method, error);
        let params = to_raw_value(&ExportPosition { cursor }).map_err(|error| invalid(&error))?;
        let result = self.upstream.call(Call { method: self.method, params, caller: self.caller.clone() }).await?;
        let piece = serde_json::from_str(result.result.get()).map_err(|error| invalid(&error))?;
        Ok((piece, result.meta))
    }

    /// As [`read`](Self::read), again and again while the core is too busy.
    async fn read_patiently(&self, cursor: &str) -> Result<ExportPiece, CallError> {
        let mut tries = 1;
        loop {
            let error = match self.read(Some(cursor.to_owned())).await {
                Ok((piece, _)) => return Ok(piece),
                Err(error) => error,
            };
            let is_temporary = matches!(error.error.code, ErrorCode::RateLimited | ErrorCode::ServiceUnavailable);
            if !is_temporary || tries == MAX_TRIES {
                return Err(error);
            }
            tries += 1;
            let pause = error.error.retry_after().map_or(Duration::from_secs(1), Duration::from_secs);
            tokio::time::sleep(pause.min(MAX_PAUSE)).await;
        }
    }

    /// Returns the first piece, and then the others; each is read when the client has taken the one before. An error
    /// ends the stream early, and the client sees it because the last line is missing.
    fn into_stream(self, first: ExportPiece) -> BoxStream<'static, Bytes> {
        let others = stream::unfold((self, first.next), |(reader, next)| async move {
            match reader.read_patiently(&next?).await {
                Ok(piece) => Some((Bytes::from(piece.lines), (reader, piece.next))),
                Err(error) => {
                    let request_id = &reader.caller.request_id;
                    tracing::warn!(%request_id, code = %error.error.code, "an export stopped early");
                    None
                }
            }
        });
        stream::once(std::future::ready(Bytes::from(first.lines))).chain(others).boxed()
    }
}
