//! The models of a run: one answers, and when it fails the next.

use super::{AgentError, Context, in_thread};
use crate::core::Core;
use crate::model::{FinishReason, Message, ModelError, ModelEvent, ModelRequest, ToolCall};
use crate::runs::Output;
use futures::StreamExt;

/// The models that may answer a run. Who has taken over goes on answering.
pub(super) struct Models<'a> {
    context: &'a Context,
    /// Place of the one that answers.
    place: usize,
}

impl<'a> Models<'a> {
    pub(super) fn of(context: &'a Context) -> Self {
        Self { context, place: 0 }
    }

    /// Streams one answer: its words go out, its calls come back.
    ///
    /// A model that fails, after its own retries, gives way to the next, also when it had begun to speak: its half
    /// message is then taken back, since the other's words would not go on from it.
    pub(super) async fn answer(
        &mut self,
        core: &Core,
        round: u32,
        messages: &[Message],
        output: &mut Output,
    ) -> Result<Vec<ToolCall>, AgentError> {
        let answerer = &self.context.answerer;
        loop {
            let request = ModelRequest {
                model: answerer.models.get(self.place).cloned().flatten(),
                parameters: answerer.agent.parameters.clone(),
                messages: messages.to_vec(),
                tools: answerer.tools.specs(),
                // Asked for once: a model that has to call in every round never comes to an answer.
                tool_choice: answerer.tool_choice.clone().filter(|_| round == 0),
                request_id: self.context.origin.request_id.clone(),
            };
            let prices = answerer.prices_of(request.model.as_deref().unwrap_or(core.model.name()));
            output.asks(messages.iter().map(Message::bytes).sum(), prices);
            let error = match self.listen(core, request, output).await {
                Ok(calls) => return Ok(calls),
                Err(AgentError::Model(error)) => error,
                Err(error) => return Err(error),
            };
            let Some(next) = answerer.models.get(self.place + 1) else { return Err(error.into()) };
            self.place += 1;
            metrics::counter!("threadline_model_fallbacks_total", "code" => error.code().name()).increment(1);
            tracing::warn!(
                request_id = %self.context.origin.request_id, run_id = %self.context.claim.run_id.0,
                agent = %answerer.agent.name, next = next.as_deref(), %error, "a model failed; another answers"
            );
            output.take_back_message();
        }
    }

    async fn listen(
        &self,
        core: &Core,
        request: ModelRequest,
        output: &mut Output,
    ) -> Result<Vec<ToolCall>, AgentError> {
        let mut stream = core.model.stream(request);
        let mut calls = Vec::new();
        while let Some(event) = stream.next().await {
            match event? {
                ModelEvent::Thought(delta) => output.thought(&delta),
                ModelEvent::Text(delta) => {
                    output.show(&core.store, self.context.claim).await.map_err(in_thread)?;
                    output.text(&delta);
                }
                ModelEvent::Citation(citation) => output.cite(citation),
                ModelEvent::ToolCall(call) => calls.push(call),
                ModelEvent::Usage(usage) => output.used(usage),
                ModelEvent::Finished(reason) => {
                    if matches!(reason, FinishReason::Length | FinishReason::ContentFilter) {
                        tracing::debug!(?reason, "the model stopped before it was done");
                    }
                    return Ok(calls);
                }
            }
        }
        Err(ModelError::Broken("the stream ended without saying so".into()).into())
    }
}
