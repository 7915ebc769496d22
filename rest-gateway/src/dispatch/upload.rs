//! Operations whose request body is a file. It goes to the core in chunks, one call each.

use super::errors::{invalid_result, translate};
use super::reject::reject_unread;
use crate::bind::Bound;
use crate::http::{BodyChunks, BodyError};
use crate::response::{ErrorResponse, Response, ResponseResult};
use crate::response_data::ResponseFormat;
use crate::rule::Rule;
use crate::upstream::{Call, Upstream};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body::Body;
use serde::Deserialize;
use serde_json::value::to_raw_value;
use std::error::Error;
use threadline_schema::attachments::{AttachmentsWriteParams, Upload};
use threadline_schema::call::{Caller, ResponseMeta};
use threadline_schema::ids::AttachmentId;
use threadline_schema::rpc::MethodInfo;

/// The parameters that the URL gives.
#[derive(Deserialize)]
struct UrlParams {
    attachment_id: AttachmentId,
    #[serde(default)]
    token: Option<String>,
}

/// Sends a body to the core, chunk by chunk, and responds with the result of the last call.
pub(super) async fn upload<B>(
    rule: &Rule,
    (method, format): (&MethodInfo, &ResponseFormat),
    bound: &Bound,
    upstream: &dyn Upstream,
    caller: Caller,
    mut body: BodyChunks<B>,
) -> ResponseResult
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    // After each of these errors a part of the body may be unread.
    let invalid = |error| BodyError(invalid_result(&caller.request_id, method.name, error));
    let UrlParams { attachment_id, token } = serde_json::from_str(bound.params.get()).map_err(invalid)?;
    let (mut upload_id, mut offset) = (None, 0);
    let mut meta: Option<ResponseMeta> = None;
    loop {
        let (chunk, last) = match body.next().await {
            Ok(next) => next,
            // No call has counted the request yet.
            Err(error) if meta.is_none() => return Err(reject_unread(error, rule, upstream, caller).await),
            Err(error) => return Err(error.into()),
        };
        let chunk_bytes = chunk.len() as u64;
        let data = BASE64.encode(chunk);
        let params = AttachmentsWriteParams { attachment_id, token: token.clone(), upload_id, offset, data, last };
        let params = to_raw_value(&params).map_err(invalid)?;
        let called = upstream.call(Call { method: method.name, params, caller: caller.clone() }).await;
        let called = called.map_err(|error| ErrorResponse::from(translate(rule, error)));
        let result = match called {
            Ok(result) => result,
            Err(response) if last => return Err(response),
            Err(response) => return Err(response.into_response().close_connection().into()),
        };
        // The rate limit is that of the first call: the core counts a whole upload as one request.
        let db_time = result.meta.db_time;
        let meta = match &mut meta {
            Some(meta) => {
                meta.db_time += db_time;
                meta
            }
            none => none.insert(result.meta),
        };
        if last {
            let body = format.body(&result.result, &bound.path_id).map_err(invalid)?;
            return Ok(Response::json(rule.status, body).with_meta(meta.clone()));
        }
        let upload: Upload = serde_json::from_str(result.result.get()).map_err(invalid)?;
        upload_id = Some(upload.upload_id);
        offset += chunk_bytes;
    }
}
