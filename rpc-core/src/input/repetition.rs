//! What a request says about an earlier request that it repeats.

use crate::core::Core;
use crate::error::Error;
use crate::store::rows::{ItemRow, RunRow};
use threadline_engine::StartedRun;
use threadline_schema::chatkit::{Attachment, ImageAttachment, ThreadItem, UserMessage, UserMessageInput};
use threadline_schema::ids::{ItemId, ThreadId, UserId};
use threadline_schema::threads::EventCursor;

/// How a request that starts a run can be known again.
pub(crate) struct Repetition {
    /// The idempotency key, which decides if there is one.
    pub(crate) key: Option<String>,
    /// The cursor of the last event that the client has of the run: a client that sends its request again when the
    /// stream breaks sends it along, as the standard of Server-Sent Events says.
    pub(crate) last_event_id: Option<String>,
}

/// The request that must be the same.
pub(super) enum Request<'a> {
    /// A message, in this thread or a new one.
    Message(Option<ThreadId>, &'a UserMessageInput),
    /// A message of this thread is answered again.
    Retry(ThreadId, ItemId),
}

impl Repetition {
    /// Returns the run that the same request of the same user has started before, if its client is reading it. `None`
    /// for any other request: it starts a run of its own.
    pub(super) async fn find_run(
        &self,
        core: &Core,
        user_id: UserId,
        request: Request<'_>,
    ) -> Result<Option<StartedRun>, Error> {
        let cursor = self.last_event_id.as_deref().filter(|_| self.key.is_none());
        let Some(EventCursor::Event { run_id, .. }) = cursor.and_then(|cursor| cursor.parse().ok()) else {
            return Ok(None);
        };
        let is_same = |run: &RunRow, items: &[ItemRow]| match request {
            Request::Message(thread_id, input) => {
                thread_id.is_none_or(|thread_id| run.thread_id == thread_id)
                    && items.iter().any(|item| is_of(item, input))
            }
            Request::Retry(thread_id, item_id) => run.thread_id == thread_id && run.retry_of == Some(item_id),
        };
        Ok(core.engine.find_started(user_id, run_id.into(), is_same).await?)
    }
}

/// Whether this item is the message of a request.
fn is_of(item: &ItemRow, input: &UserMessageInput) -> bool {
    let Ok(ThreadItem::UserMessage(message)) = serde_json::from_str(&item.body) else { return false };
    let UserMessage { content, attachments, quoted_text, inference_options, .. } = message;
    let attached = attachments.iter().map(|attachment| match attachment {
        Attachment::File(file) | Attachment::Image(ImageAttachment { file, .. }) => file.id,
    });
    fn quote(text: Option<&String>) -> Option<&String> {
        text.filter(|text| !text.trim().is_empty())
    }
    content == input.content
        && inference_options == input.inference_options
        && quote(quoted_text.as_ref()) == quote(input.quoted_text.as_ref())
        && attached.map(Some).eq(input.attachments.iter().map(|id| id.parse().ok()))
}
