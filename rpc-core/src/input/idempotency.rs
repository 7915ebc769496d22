//! The sender of an input, and the idempotency keys that detect repeated requests.

use crate::error::Error;
use serde::Serialize;
use sha2::{Digest, Sha256};
use threadline_schema::call::RequestContext;
use threadline_schema::ids::{ServiceKeyId, ThreadId, UserId};
use threadline_store::IdempotencyKey;

/// Maximum number of characters of an idempotency key.
const KEY_CHARS: usize = 255;

/// The request that an input came with.
pub(crate) struct InputRequest {
    /// The verified user.
    pub(crate) user_id: UserId,
    /// The service key that acts for the user, or with which the user's token was created.
    pub(crate) key_id: Option<ServiceKeyId>,
    /// The idempotency key, not checked yet.
    pub(crate) key: Option<String>,
    /// The cursor of the last event that the client has of the run: a client that sends its request again when the
    /// stream breaks sends it along, as the standard of Server-Sent Events says.
    pub(crate) last_event_id: Option<String>,
    /// What the run keeps of the request.
    pub(crate) context: RequestContext,
}

impl InputRequest {
    /// Returns the idempotency key of the request, if it has one. `input` is the rest of the request.
    ///
    /// # Errors
    /// `INVALID_REQUEST` for a key that is empty, too long or not printable.
    pub(super) fn idempotency_key(
        &self,
        method: &str,
        thread_id: Option<ThreadId>,
        input: &impl Serialize,
    ) -> Result<Option<IdempotencyKey>, Error> {
        idempotency_key(self.key.as_deref(), method, thread_id, input)
    }
}

/// Returns the key of a request, if it has one, with a fingerprint of the request. `input` is the rest of the request:
/// the same key with another input is a conflict.
///
/// # Errors
/// `INVALID_REQUEST` for a key that is empty, too long or not printable.
fn idempotency_key(
    key: Option<&str>,
    method: &str,
    thread_id: Option<ThreadId>,
    input: &impl Serialize,
) -> Result<Option<IdempotencyKey>, Error> {
    let Some(key) = key else { return Ok(None) };
    if key.is_empty() || key.chars().count() > KEY_CHARS || key.chars().any(char::is_control) {
        return Err(Error::invalid(format!("An idempotency key has 1 to {KEY_CHARS} printable characters.")));
    }
    let body = serde_json::to_vec(&(method, thread_id, input))?;
    let fingerprint = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(IdempotencyKey { key: key.to_owned(), fingerprint }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use threadline_schema::chatkit::UserMessageInput;

    #[test]
    fn a_fingerprint_depends_on_the_request() {
        let input = UserMessageInput::text("hello");
        let thread = Some(ThreadId::random());
        let fingerprint =
            |method, thread, input| idempotency_key(Some("k"), method, thread, &input).unwrap().unwrap().fingerprint;
        let one = fingerprint("threads.add_user_message", thread, Some(&input));
        assert_eq!(one, fingerprint("threads.add_user_message", thread, Some(&input)));
        assert_ne!(one, fingerprint("threads.add_user_message", Some(ThreadId::random()), Some(&input)));
        assert_ne!(one, fingerprint("threads.add_user_message", thread, Some(&UserMessageInput::text("bye"))));
        assert!(idempotency_key(Some(&"k".repeat(256)), "threads.create", None, &()).is_err());
        assert!(idempotency_key(Some(""), "threads.create", None, &()).is_err());
    }
}
