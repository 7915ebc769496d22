//! Finds the run of a request that its client repeats because the stream broke.

use super::InputRequest;
use crate::error::Error;
use crate::store::rows::{ItemRow, RunRow};
use threadline_engine::{Engine, StartedRun};
use threadline_schema::chatkit::{Attachment, ImageAttachment, ThreadItem, UserMessage, UserMessageInput};
use threadline_schema::ids::{ItemId, ThreadId};
use threadline_schema::threads::EventCursor;

/// What must be the same in both requests.
pub(super) enum Repeated<'a> {
    /// A message, in this thread or a new one.
    Message(Option<ThreadId>, &'a UserMessageInput),
    /// A message of this thread is answered again.
    Retry(ThreadId, ItemId),
}

impl InputRequest {
    /// Returns the run that the same request of the same user has started before, if its client is reading it. `None`
    /// for any other request: it starts a run of its own. An idempotency key decides alone if there is one.
    pub(super) async fn find_run(&self, engine: &Engine, repeated: Repeated<'_>) -> Result<Option<StartedRun>, Error> {
        let cursor = self.last_event_id.as_deref().filter(|_| self.key.is_none());
        // Whether the run has such an event is checked when it is subscribed to, as for any subscriber.
        let Some(run_id) = cursor.and_then(EventCursor::run_of) else { return Ok(None) };
        let is_same = |run: &RunRow, items: &[ItemRow]| match repeated {
            Repeated::Message(thread_id, input) => {
                thread_id.is_none_or(|thread_id| run.thread_id == thread_id)
                    && items.iter().any(|item| is_of(item, input))
            }
            Repeated::Retry(thread_id, item_id) => run.thread_id == thread_id && run.retry_of == Some(item_id),
        };
        Ok(engine.find_started(self.user_id, run_id, is_same).await?)
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
