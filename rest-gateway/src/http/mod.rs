//! HTTP itself: what a request says about its client, its body within limits, the headers of every response, and the
//! log line and metrics of a request. Knows no rule and no method.

mod observation;
mod request_body;
mod request_head;
mod response_headers;

pub(crate) use observation::{Observation, verb_label};
pub(crate) use request_body::{BodyChunks, BodyError, BodyMemory, SMALL_BYTES, read_body, require_json};
pub(crate) use request_head::{
    REQUEST_ID, accepts_gzip, acts_for, bearer_token, client_hints, client_ip, languages, last_event_id, prefers_json,
    request_id,
};
pub(crate) use response_headers::{HeaderPolicy, add_response_meta};
