//! Names of submissions: by them a retry is known for what it is.

use super::start::Started;
use crate::core::Core;
use crate::error::Error;
use crate::store::Submission;
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Characters of an idempotency key, at most.
const KEY_CHARS: usize = 255;

/// The name of a submission, if it has one. `input` is what is submitted.
pub(super) fn submission(
    key: Option<String>,
    method: &str,
    thread_id: Option<Uuid>,
    input: &impl Serialize,
) -> Result<Option<Submission>, Error> {
    let Some(key) = key else { return Ok(None) };
    if key.is_empty() || key.chars().count() > KEY_CHARS || key.chars().any(char::is_control) {
        return Err(Error::invalid(format!("An idempotency key has 1 to {KEY_CHARS} printable characters.")));
    }
    let body = serde_json::to_vec(&(method, thread_id, input))?;
    let fingerprint = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(Submission { key, fingerprint }))
}

/// What an earlier submission of the same name started, if there was one.
pub(super) async fn earlier(
    core: &Core,
    user_id: Uuid,
    submission: Option<&Submission>,
) -> Result<Option<Started>, Error> {
    let Some(submission) = submission else { return Ok(None) };
    let earlier = core.store.submission_replay(user_id.into(), submission.clone()).await?;
    Ok(earlier.map(|earlier| Started::again(core, earlier)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use threadline_schema::chatkit::UserMessageInput;

    #[test]
    fn a_fingerprint_depends_on_what_is_submitted() {
        let input = UserMessageInput::text("hello");
        let thread = Some(Uuid::now_v7());
        let print =
            |method, thread, input| submission(Some("k".into()), method, thread, &input).unwrap().unwrap().fingerprint;
        let one = print("threads.add_user_message", thread, Some(&input));
        assert_eq!(one, print("threads.add_user_message", thread, Some(&input)));
        assert_ne!(one, print("threads.add_user_message", Some(Uuid::now_v7()), Some(&input)));
        assert_ne!(one, print("threads.add_user_message", thread, Some(&UserMessageInput::text("bye"))));
        assert!(submission(Some("k".repeat(256)), "threads.create", None, &()).is_err());
        assert!(submission(Some(String::new()), "threads.create", None, &()).is_err());
    }
}
