//! The models of a run: when one fails, the next one answers.

use super::registry::ResolvedAgent;
use super::{AgentError, AgentServices};
use crate::model::{FinishReason, Message, ModelError, ModelEvent, ModelRequest, ToolCall};
use futures::StreamExt;
use threadline_engine::{Citation, RunContext, RunWriter};
use threadline_schema::runs;

/// The models that can answer a run. A model that has taken over answers the later turns too.
pub(super) struct ModelChain<'a> {
    services: &'a AgentServices,
    agent: &'a ResolvedAgent,
    run: &'a RunContext,
    /// Index of the model that answers.
    current: usize,
}

impl<'a> ModelChain<'a> {
    pub(super) fn new(services: &'a AgentServices, agent: &'a ResolvedAgent, run: &'a RunContext) -> Self {
        Self { services, agent, run, current: 0 }
    }

    /// Streams one turn: text goes to the writer, tool calls are returned.
    ///
    /// A model that fails after its own retries gives way to the next, also in the middle of a message. That message is
    /// withdrawn, because the text of another model would not continue it.
    pub(super) async fn answer(
        &mut self,
        turn: u32,
        messages: &[Message],
        writer: &mut RunWriter,
    ) -> Result<Vec<ToolCall>, AgentError> {
        let Self { services, agent, run, .. } = *self;
        loop {
            let model = agent.models.get(self.current).cloned().flatten();
            let name = model.as_deref().unwrap_or(services.model.name());
            let (prices, dialect) = (agent.prices_of(name), agent.dialect_of(name));
            let request = ModelRequest {
                model,
                dialect,
                parameters: agent.agent.parameters.clone(),
                messages: messages.to_vec(),
                tools: agent.tools.specs(),
                // In the first turn only: a model that must call a tool in each turn never comes to an answer.
                tool_choice: agent.tool_choice.clone().filter(|_| turn == 0),
                request_id: run.request.request_id.clone(),
            };
            writer.start_request(messages.iter().map(Message::bytes).sum(), prices);
            let error = match self.stream(request, writer).await {
                Ok(calls) => return Ok(calls),
                Err(AgentError::Model(error)) => error,
                Err(error) => return Err(error),
            };
            let Some(next) = agent.models.get(self.current + 1) else { return Err(error.into()) };
            self.current += 1;
            metrics::counter!("threadline_model_fallbacks_total", "code" => error.code().name()).increment(1);
            tracing::warn!(
                request_id = %run.request.request_id, run_id = %run.token.run_id, agent = %agent.agent.name,
                next = next.as_deref(), %error, "model failed; the next one answers"
            );
            writer.withdraw_message();
        }
    }

    async fn stream(&self, request: ModelRequest, writer: &mut RunWriter) -> Result<Vec<ToolCall>, AgentError> {
        let mut stream = self.services.model.stream(request);
        let mut calls = Vec::new();
        while let Some(event) = stream.next().await {
            match event? {
                ModelEvent::Thought(delta) => writer.write_thought(&delta),
                ModelEvent::Text(delta) => {
                    writer.show_widgets(&self.services.store, self.run.token).await?;
                    writer.write_text(&delta);
                }
                ModelEvent::Citation(citation) => {
                    writer.cite(Citation { url: citation.url, title: citation.title, end: citation.end })
                }
                ModelEvent::ToolCall(call) => calls.push(call),
                ModelEvent::Usage(usage) => writer.report_usage(usage),
                ModelEvent::Finished(reason) => {
                    // A response with tool calls is not the answer yet.
                    if calls.is_empty() && writer.has_open_message() {
                        writer.finish_answer(answer_end(reason));
                    }
                    return Ok(calls);
                }
            }
        }
        Err(ModelError::invalid_response("the stream ended without its last event").into())
    }
}

/// Returns how an answer ended whose last response ended like this.
fn answer_end(reason: FinishReason) -> runs::FinishReason {
    match reason {
        // A server may say so although it sent no call.
        FinishReason::Stop | FinishReason::ToolCalls => runs::FinishReason::Stop,
        FinishReason::Length => runs::FinishReason::Length,
        FinishReason::ContentFilter => runs::FinishReason::ContentFilter,
    }
}
