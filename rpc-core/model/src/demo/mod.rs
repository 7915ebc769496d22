//! The built-in model: understands simple sentences about tasks, and says that it is a demo.
//!
//! It needs no key and no network, and it works through the same tools and the same loop as any model, so that a fresh
//! installation can be tried from end to end. `command.rs`, `add.rs` and `change.rs` read the user's sentence, `turn.rs` decides on
//! calls or words, `find.rs` ties words to tasks, `say.rs` answers.

mod add;
mod change;
mod command;
mod find;
mod phrase;
mod results;
mod say;
mod turn;

use super::{FinishReason, Message, Model, ModelError, ModelEvent, ModelRequest, ToolCall};
use crate::config::DemoConfig;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use threadline_schema::runs::Usage;
use turn::Turn;
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
        stream::iter(events(&request).into_iter().enumerate())
            .then(move |(at, event)| async move {
                if at > 0 && !pause.is_zero() && matches!(event, ModelEvent::Text(_)) {
                    tokio::time::sleep(pause).await;
                }
                Ok(event)
            })
            .boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), ModelError>> {
        std::future::ready(Ok(())).boxed()
    }

    fn gives_titles(&self) -> bool {
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
    let (mut events, finish): (Vec<_>, _) = match turn::next(request) {
        Turn::Say(text) => {
            // Each word with the space behind it, so that the pieces are the text.
            let words = text.split_inclusive([' ', '\n']).map(|word| ModelEvent::Text(word.to_owned()));
            (words.collect(), FinishReason::Stop)
        }
        Turn::Call(calls) => {
            let calls = calls.into_iter().map(|(name, arguments)| {
                let id = format!("call_{}", Uuid::new_v4().simple());
                ModelEvent::ToolCall(ToolCall { id, name: name.to_owned(), arguments: arguments.to_string() })
            });
            (calls.collect(), FinishReason::ToolCalls)
        }
    };
    let completion_tokens = events
        .iter()
        .map(|event| match event {
            ModelEvent::ToolCall(call) => words(&call.arguments),
            _ => 1,
        })
        .sum();
    let prompt_tokens = request.messages.iter().map(length).sum();
    events.push(ModelEvent::Usage(Usage { prompt_tokens, completion_tokens }));
    events.push(ModelEvent::Finished(finish));
    events
}

/// The words of a message: the demo has no tokens, and numbers that grow with the text are what matters.
fn length(message: &Message) -> u64 {
    match message {
        Message::System(text) | Message::Tool { content: text, .. } => words(text),
        Message::User(said) => words(&said.text),
        Message::Assistant { text, tool_calls } => {
            words(text) + tool_calls.iter().map(|call| words(&call.arguments)).sum::<u64>()
        }
    }
}

fn words(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}
