//! What a stream of model events adds up to.

use futures::{Stream, StreamExt};
use threadline_model::{Citation, FinishReason, ModelError, ModelEvent, ToolCall};
use threadline_schema::runs::Usage;

/// Everything a stream yielded.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) texts: Vec<String>,
    pub(crate) thoughts: Vec<String>,
    pub(crate) citations: Vec<Citation>,
    pub(crate) calls: Vec<ToolCall>,
    pub(crate) usage: Option<Usage>,
    pub(crate) finish: Option<FinishReason>,
    pub(crate) error: Option<ModelError>,
}

impl Answer {
    /// Reads a stream to its end, and checks the order the trait promises.
    pub(crate) async fn of(mut stream: impl Stream<Item = Result<ModelEvent, ModelError>> + Unpin) -> Self {
        let mut answer = Self::default();
        while let Some(event) = stream.next().await {
            assert!(answer.finish.is_none() && answer.error.is_none(), "an event after the end: {event:?}");
            match event {
                Ok(ModelEvent::Text(text)) => {
                    assert!(!text.is_empty() && answer.calls.is_empty() && answer.usage.is_none());
                    answer.texts.push(text);
                }
                Ok(ModelEvent::Thought(thought)) => {
                    assert!(!thought.is_empty() && answer.usage.is_none());
                    answer.thoughts.push(thought);
                }
                Ok(ModelEvent::Citation(citation)) => {
                    assert!(answer.calls.is_empty() && answer.usage.is_none());
                    answer.citations.push(citation);
                }
                Ok(ModelEvent::ToolCall(call)) => {
                    assert!(answer.usage.is_none() && !call.id.is_empty());
                    answer.calls.push(call);
                }
                Ok(ModelEvent::Usage(usage)) => assert!(answer.usage.replace(usage).is_none()),
                Ok(ModelEvent::Finished(reason)) => answer.finish = Some(reason),
                Err(error) => answer.error = Some(error),
            }
        }
        assert!(answer.finish.is_some() || answer.error.is_some(), "the stream ended without an end: {answer:?}");
        answer
    }

    pub(crate) fn text(&self) -> String {
        self.texts.concat()
    }

    /// One line per answer, for tables: text, citations as `<url title@end>`, calls as `name(arguments)`, usage as `in+out`, and how it ended.
    pub(crate) fn line(&self) -> String {
        let mut parts = vec![format!("{:?}", self.text())];
        parts.extend(self.citations.iter().map(|Citation { url, title, end }| {
            format!("<{url} {title}@{}>", end.map_or_else(String::new, |end| end.to_string()))
        }));
        parts.extend(self.calls.iter().map(|call| format!("{}({})", call.name, call.arguments)));
        parts.extend(self.usage.map(|usage| format!("{}+{}", usage.prompt_tokens, usage.completion_tokens)));
        parts.extend(self.finish.map(|reason| format!("{reason:?}")));
        parts.extend(self.error.as_ref().map(|error| kind(error).to_owned()));
        parts.join(" ")
    }

    /// Everything, so that two answers can be compared; ids made here differ each time and are left out.
    pub(crate) fn whole(&self) -> String {
        let ids: Vec<_> = self.calls.iter().map(|call| if is_made(&call.id) { "made" } else { &call.id }).collect();
        format!("{:?} {ids:?} {} {:?}", self.texts, self.line(), self.error)
    }
}

/// Whether an id has the form of those the client makes.
pub(crate) fn is_made(id: &str) -> bool {
    id.strip_prefix("call_").is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// An error's variant and status.
pub(crate) fn kind(error: &ModelError) -> String {
    match error {
        ModelError::Connect(_) => "connect".to_owned(),
        ModelError::Timeout { waiting_for, .. } => format!("timeout: {waiting_for}"),
        ModelError::Overloaded { status, .. } => format!("overloaded {status}"),
        ModelError::Refused { status, .. } => format!("refused {status}"),
        ModelError::Broken(_) => "broken".to_owned(),
    }
}
