//! The built-in model: understands simple sentences about tasks, and says that it is a demo.
//!
//! It needs no key and no network. It uses the same tools and the same loop as any model, so that a fresh installation
//! can be tried from end to end. `command.rs` parses the user's sentence, `reply.rs` decides on tool calls or text.

mod command;
mod reply;

use super::{FinishReason, Message, Model, ModelError, ModelEvent, ModelRequest, ToolCall};
use crate::config::DemoConfig;
use crate::traced_stream::{start_span, traced};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use reply::Reply;
use threadline_schema::runs::Usage;
use uuid::Uuid;

/// The built-in model.
#[derive(Debug, Clone)]
pub struct DemoModel {
    config: DemoConfig,
}

impl DemoModel {
    /// Makes the model.
    pub fn new(config: DemoConfig) -> Self {
        Self { config }
    }
}

impl Model for DemoModel {
    fn stream(&self, request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        let pause = self.config.word_pause;
        let span = start_span("demo", "demo");
        let events = stream::iter(events(&request).into_iter().enumerate())
            .then(move |(at, event)| async move {
                if at > 0 && !pause.is_zero() && matches!(event, ModelEvent::Text(_)) {
                    tokio::time::sleep(pause).await;
                }
                Ok(event)
            })
            .boxed();
        traced(events, span)
    }

    fn check_health(&self) -> BoxFuture<'_, Result<(), ModelError>> {
        std::future::ready(Ok(())).boxed()
    }

    fn follows_instructions(&self) -> bool {
        false
    }

    fn kind(&self) -> &'static str {
        "demo"
    }

    fn name(&self) -> &str {
        "demo"
    }
}

fn events(request: &ModelRequest) -> Vec<ModelEvent> {
    let (mut events, finish): (Vec<_>, _) = match reply::next(request) {
        Reply::Text(text) => {
            // Each word keeps the space after it, so that the deltas add up to the text.
            let words = text.split_inclusive([' ', '\n']).map(|word| ModelEvent::Text(word.to_owned()));
            (words.collect(), FinishReason::Stop)
        }
        Reply::Calls(calls) => {
            let calls = calls.into_iter().map(|(name, arguments)| {
                let id = format!("call_{}", Uuid::new_v4().simple());
                ModelEvent::ToolCall(ToolCall {
                    id,
                    name: name.to_owned(),
                    arguments: arguments.to_string(),
                    echo: None,
                })
            });
            (calls.collect(), FinishReason::ToolCalls)
        }
    };
    // The demo has no tokenizer: a token is four bytes of the prompt, and a word or a call of the output.
    let prompt_tokens = request.messages.iter().map(Message::bytes).sum::<usize>().div_ceil(4) as u64;
    events.push(ModelEvent::Usage(Usage { prompt_tokens, completion_tokens: events.len() as u64 }));
    events.push(ModelEvent::Finished(finish));
    events
}
