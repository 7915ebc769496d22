//! Collects a stream of model events.

use futures::{Stream, StreamExt};
use threadline_model::{Citation, FinishReason, ModelError, ModelEvent, ToolCall};
use threadline_schema::runs::Usage;

/// All events of one stream.
#[derive(Debug, Default)]
pub(crate) struct Response {
    pub(crate) texts: Vec<String>,
    pub(crate) thoughts: Vec<String>,
    pub(crate) citations: Vec<Citation>,
    pub(crate) calls: Vec<ToolCall>,
    pub(crate) usage: Option<Usage>,
    pub(crate) finish: Option<FinishReason>,
    pub(crate) error: Option<ModelError>,
}

impl Response {
    /// Reads a stream to its end, and checks the order that the trait promises.
    pub(crate) async fn collect(mut stream: impl Stream<Item = Result<ModelEvent, ModelError>> + Unpin) -> Self {
        let mut response = Self::default();
        while let Some(event) = stream.next().await {
            assert!(response.finish.is_none() && response.error.is_none(), "an event after the end: {event:?}");
            match event {
                Ok(ModelEvent::Text(text)) => {
                    assert!(!text.is_empty() && response.calls.is_empty());
                    assert!(!response.texts.is_empty() || !text.trim().is_empty(), "the text begins with blanks");
                    response.texts.push(text);
                }
                Ok(ModelEvent::TextWasThought) => {
                    assert!(response.calls.is_empty());
                    response.thoughts.append(&mut response.texts);
                }
                Ok(ModelEvent::Thought(thought)) => {
                    assert!(!thought.is_empty());
                    response.thoughts.push(thought);
                }
                Ok(ModelEvent::Citation(citation)) => {
                    assert!(response.calls.is_empty());
                    response.citations.push(citation);
                }
                Ok(ModelEvent::ToolCall(call)) => {
                    assert!(!call.id.is_empty());
                    response.calls.push(call);
                }
                // An answer of nothing has a usage too, and so has the one after it.
                Ok(ModelEvent::Usage(usage)) => *response.usage.get_or_insert_default() += usage,
                Ok(ModelEvent::Finished(reason)) => response.finish = Some(reason),
                Err(error) => response.error = Some(error),
            }
        }
        assert!(
            response.finish.is_some() || response.error.is_some(),
            "the stream ended without a last event: {response:?}"
        );
        response
    }

    pub(crate) fn text(&self) -> String {
        self.texts.concat()
    }

    /// Returns the citations as `url title@end`.
    pub(crate) fn citation_names(&self) -> Vec<String> {
        let name = |Citation { url, title, end }: &Citation| {
            format!("{url} {title}@{}", end.map_or_else(String::new, |end| end.to_string()))
        };
        self.citations.iter().map(name).collect()
    }

    /// Returns one line for tables: text, citations as `<url title@end>`, calls as `name(arguments)`, usage as
    /// `prompt+completion`, and the finish reason or the error.
    pub(crate) fn summary(&self) -> String {
        let mut parts = vec![format!("{:?}", self.text())];
        parts.extend(self.citation_names().into_iter().map(|name| format!("<{name}>")));
        parts.extend(self.calls.iter().map(|call| format!("{}({})", call.name, call.arguments)));
        parts.extend(self.usage.map(|usage| format!("{}+{}", usage.prompt_tokens, usage.completion_tokens)));
        parts.extend(self.finish.map(|reason| format!("{reason:?}")));
        parts.extend(self.error.as_ref().map(error_kind));
        parts.join(" ")
    }

    /// Returns everything, to compare two responses. Generated ids differ each time, so they are left out.
    pub(crate) fn fingerprint(&self) -> String {
        let ids: Vec<_> =
            self.calls.iter().map(|call| if is_generated_id(&call.id) { "generated" } else { &call.id }).collect();
        format!("{:?} {ids:?} {} {:?}", self.texts, self.summary(), self.error)
    }
}

/// Returns whether the client generated the id.
pub(crate) fn is_generated_id(id: &str) -> bool {
    id.strip_prefix("call_").is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Returns the name of a finish reason in case files.
pub(crate) fn finish_name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::Length => "length",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Refusal => "refusal",
    }
}

/// Returns the variant of an error, with its status.
pub(crate) fn error_kind(error: &ModelError) -> String {
    match error {
        ModelError::Connect { .. } => "connect".to_owned(),
        ModelError::Timeout { waiting_for, .. } => format!("timeout: {waiting_for}"),
        ModelError::Overloaded { status, .. } => format!("overloaded {status}"),
        ModelError::Refused { status, .. } => format!("refused {status}"),
        ModelError::InvalidResponse { .. } => "broken".to_owned(),
        ModelError::ContextLength { limit: Some(limit), .. } => format!("context length {limit}"),
        ModelError::ContextLength { limit: None, .. } => "context length".to_owned(),
        ModelError::InvalidCall { status, .. } => format!("invalid call {status}"),
        ModelError::NoAnswer { .. } => "no answer".to_owned(),
    }
}
