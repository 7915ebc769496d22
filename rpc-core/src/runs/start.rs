//! A message comes in: it is checked, stored together with its run, and then answered.

use super::hub::Entry;
use super::runner::{self, Job};
use crate::attachments;
use crate::core::Core;
use crate::error::Error;
use crate::store::StoreError;
use crate::store::rows::{AttachmentRow, NewItem, RunRow, ThreadRow};
use crate::store::{NewThread, NewTurn, Submission};
use crate::wire;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use threadline_schema::ErrorCode;
use threadline_schema::call::Origin;
use threadline_schema::chatkit::{
    Extra, StreamOptions, ThreadItem, ThreadStreamEvent, UserContent, UserMessage, UserMessageInput,
};
use threadline_schema::db::types::{Guid, UtcTime};
use uuid::Uuid;

/// A thread's title until somebody says something.
pub(crate) const NEW_TITLE: &str = "New Chat";
/// Characters of the first message that become the title.
const TITLE_CHARS: usize = 100;
/// Characters of an idempotency key, at most.
const KEY_CHARS: usize = 255;

/// What a submission made, or had made before.
pub(crate) struct Started {
    pub(crate) thread: ThreadRow,
    pub(crate) run: Option<RunRow>,
    /// Whether an earlier submission with the same key made it.
    pub(crate) replayed: bool,
}

/// Stores a message and starts the run that answers it.
pub(crate) async fn add_user_message(
    core: &Arc<Core>,
    user_id: Uuid,
    thread_id: Uuid,
    input: UserMessageInput,
    key: Option<String>,
    origin: Origin,
) -> Result<Started, Error> {
    // Taken before the question whether the service is stopping, and held until the run has begun: whoever waits for the
    // runs to end waits for this one too.
    let beginning = core.hub.tasks.token();
    refuse_while_stopping(core)?;
    check_message(core, &input)?;
    let submission = submission(key, "threads.add_user_message", Some(thread_id), Some(&input))?;
    let attached = attachments::of_message(core, user_id, &input).await?;
    let (turn, message) = turn(core, thread_id, input, &attached)?;
    let core = core.clone();
    detached(async move {
        let _beginning = beginning;
        let run_id = turn.run_id.0;
        let entry = core.hub.begin(run_id, user_id, thread_id);
        let stored = core.store.turn_start(user_id.into(), thread_id.into(), turn, submission).await;
        let started = match stored {
            Ok(started) if !started.replayed => started,
            other => {
                core.hub.discard(&entry);
                let replay = other.map_err(Error::of_thread)?;
                core.hub.give_first_look(replay.run.id.0);
                return Ok(Started { thread: replay.thread, run: Some(replay.run), replayed: true });
            }
        };
        announce(&entry, false, &message, started.title_changed, &started.thread);
        runner::spawn(&core, job(entry, &started.run, origin));
        Ok(Started { thread: started.thread, run: Some(started.run), replayed: false })
    })
    .await
}

/// Stores a new thread, with or without a first message; with one its run starts.
pub(crate) async fn create_thread(
    core: &Arc<Core>,
    user_id: Uuid,
    input: Option<UserMessageInput>,
    key: Option<String>,
    origin: Origin,
) -> Result<Started, Error> {
    let beginning = core.hub.tasks.token();
    if let Some(input) = &input {
        refuse_while_stopping(core)?;
        check_message(core, input)?;
    }
    let submission = submission(key, "threads.create", None, input.as_ref())?;
    let thread_id = Uuid::now_v7();
    let (turn, message) = match input {
        Some(input) => {
            let attached = attachments::of_message(core, user_id, &input).await?;
            turn(core, thread_id, input, &attached).map(|(turn, message)| (Some(turn), Some(message)))?
        }
        None => (None, None),
    };
    let core = core.clone();
    detached(async move {
        let _beginning = beginning;
        let entry = turn.as_ref().map(|turn| core.hub.begin(turn.run_id.0, user_id, thread_id));
        let new = NewThread {
            id: thread_id.into(),
            user_id: user_id.into(),
            max_sessions: core.config.limits.sessions_per_user,
            title: NEW_TITLE.to_owned(),
            created_at: UtcTime::now(),
            turn,
            submission,
        };
        let stored = core.store.thread_create(new).await;
        let created = match stored {
            Ok(created) if !created.replayed => created,
            other => {
                if let Some(entry) = &entry {
                    core.hub.discard(entry);
                }
                let replay = other.map_err(|error| session_error(&core, error))?;
                if let Some(run) = &replay.run {
                    core.hub.give_first_look(run.id.0);
                }
                return Ok(Started { thread: replay.thread, run: replay.run, replayed: true });
            }
        };
        if let (Some(entry), Some(run), Some(message)) = (entry, &created.run, message) {
            announce(&entry, true, &message, false, &created.thread);
            runner::spawn(&core, job(entry, run, origin));
        }
        Ok(Started { thread: created.thread, run: created.run, replayed: false })
    })
    .await
}

fn job(entry: Arc<Entry>, run: &RunRow, origin: Origin) -> Job {
    Job { entry, claim: run.claim(), created_at: run.created_at.utc(), origin }
}

/// The events with which a run's log begins. The run is stored, so nothing here may keep it from being answered.
fn announce(entry: &Entry, thread_is_new: bool, message: &ThreadItem, title_changed: bool, thread: &ThreadRow) {
    let thread = match wire::thread(thread) {
        Ok(thread) => Some(Box::new(thread)),
        Err(error) => {
            tracing::error!(error = error.log_text(), "a thread could not be shown");
            None
        }
    };
    let mut events = Vec::with_capacity(4);
    if thread_is_new {
        events.extend(thread.clone().map(|thread| ThreadStreamEvent::ThreadCreated { thread }));
    }
    events.push(ThreadStreamEvent::ItemDone { item: Box::new(message.clone()) });
    events.push(ThreadStreamEvent::StreamOptions { stream_options: StreamOptions { allow_cancel: true } });
    if title_changed {
        events.extend(thread.map(|thread| ThreadStreamEvent::ThreadUpdated { thread }));
    }
    for event in &events {
        match serde_json::to_string(event) {
            Ok(event) => {
                entry.log.append(event);
            }
            Err(error) => tracing::error!(%error, "an event could not be written"),
        }
    }
}

/// Runs to its end even if the caller goes away: between a stored message and its running answer there must be no gap
/// to fall into.
async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    tokio::spawn(work).await.map_err(Error::internal)?
}

fn turn(
    core: &Core,
    thread_id: Uuid,
    input: UserMessageInput,
    attached: &[AttachmentRow],
) -> Result<(NewTurn, ThreadItem), Error> {
    let created_at = UtcTime::now();
    let item_id = Guid::new();
    let title = title_of(&input, attached);
    let message = ThreadItem::UserMessage(UserMessage {
        id: item_id.0,
        thread_id,
        created_at: created_at.utc(),
        content: input.content,
        attachments: attachments::in_thread(core, attached, thread_id)?,
        quoted_text: input.quoted_text,
        inference_options: input.inference_options,
        extra: Extra::new(),
    });
    let turn = NewTurn {
        message: NewItem {
            id: item_id,
            kind: wire::USER_MESSAGE.to_owned(),
            hidden: false,
            body: serde_json::to_string(&message)?,
            created_at,
        },
        title,
        run_id: Guid::new(),
        owner: core.id,
        lease_expires_at: core.lease_until(),
        attachments: attached.iter().map(|row| row.id).collect(),
    };
    Ok((turn, message))
}

fn refuse_while_stopping(core: &Core) -> Result<(), Error> {
    if core.hub.is_stopping() { Err(Error::stopping()) } else { Ok(()) }
}

fn check_message(core: &Core, input: &UserMessageInput) -> Result<(), Error> {
    let text = || input.content.iter().map(|part| part.text());
    if input.attachments.is_empty() && text().all(|text| text.trim().is_empty()) {
        return Err(Error::new(ErrorCode::EmptyMessage, "The message has no text."));
    }
    if text().any(|text| text.contains('\0')) {
        // PostgreSQL cannot keep it, and no keyboard makes it.
        return Err(Error::invalid("The message contains a NUL character."));
    }
    if let Some(limit) = core.config.limits.message_chars {
        let limit = limit as usize;
        let quoted = input.quoted_text.as_deref().map_or(0, |text| text.chars().take(limit + 1).count());
        let chars = input.content.iter().fold(quoted, |sum, part| sum.saturating_add(chars_of(part)));
        if chars > limit {
            let message = format!("The message has {chars} characters; at most {limit} are allowed.");
            return Err(Error::new(ErrorCode::MessageTooLong, message));
        }
    }
    Ok(())
}

/// Characters of a part, with all that a front end has put beside its words: it is stored and sent as often as they are.
fn chars_of(part: &UserContent) -> usize {
    let chars = |text: &str| text.chars().count();
    let members = |map: &Extra| match map.is_empty() {
        true => 0,
        false => serde_json::to_string(map).map_or(0, |json| chars(&json)),
    };
    match part {
        UserContent::Text { text, extra } => chars(text) + members(extra),
        UserContent::Tag { id, text, data, group, extra, .. } => {
            chars(id) + chars(text) + group.as_deref().map_or(0, chars) + members(data) + members(extra)
        }
    }
}

/// The first line of words, cut at so many characters. Files without words are their names.
fn title_of(input: &UserMessageInput, attached: &[AttachmentRow]) -> String {
    let mut text: String = input.content.iter().map(|part| part.text()).collect::<Vec<_>>().join(" ");
    if text.trim().is_empty() {
        text = attached.iter().map(|row| row.name.as_str()).collect::<Vec<_>>().join(", ");
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().take(TITLE_CHARS).collect()
}

fn submission(
    key: Option<String>,
    method: &str,
    thread_id: Option<Uuid>,
    input: Option<&UserMessageInput>,
) -> Result<Option<Submission>, Error> {
    let Some(key) = key else { return Ok(None) };
    if key.is_empty() || key.chars().count() > KEY_CHARS || key.chars().any(char::is_control) {
        return Err(Error::invalid(format!("An idempotency key has 1 to {KEY_CHARS} printable characters.")));
    }
    let body = serde_json::to_vec(&(method, thread_id, input))?;
    let fingerprint = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(Submission { key, fingerprint }))
}

fn session_error(core: &Core, error: StoreError) -> Error {
    match error {
        StoreError::Limit => {
            let limit = core.config.limits.sessions_per_user.unwrap_or_default();
            let message = format!("Maximum {limit} sessions allowed. Please delete an old session.");
            Error::new(ErrorCode::SessionLimit, message)
        }
        // The token was good a moment ago, and the account is gone.
        StoreError::NotFound => Error::unauthorized(),
        other => Error::from(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_the_message_cut_at_a_hundred_characters() {
        assert_eq!(title_of(&UserMessageInput::text("  Buy \n milk "), &[]), "Buy milk");
        let long = "äö ".repeat(100);
        assert_eq!(title_of(&UserMessageInput::text(long), &[]).chars().count(), TITLE_CHARS);
    }

    #[test]
    fn a_fingerprint_depends_on_what_is_submitted() {
        let input = UserMessageInput::text("hello");
        let thread = Some(Uuid::now_v7());
        let print =
            |method, thread, input| submission(Some("k".into()), method, thread, input).unwrap().unwrap().fingerprint;
        let one = print("threads.add_user_message", thread, Some(&input));
        assert_eq!(one, print("threads.add_user_message", thread, Some(&input)));
        assert_ne!(one, print("threads.add_user_message", Some(Uuid::now_v7()), Some(&input)));
        assert_ne!(one, print("threads.add_user_message", thread, Some(&UserMessageInput::text("bye"))));
        assert!(submission(Some("k".repeat(256)), "threads.create", None, None).is_err());
        assert!(submission(Some(String::new()), "threads.create", None, None).is_err());
    }
}
