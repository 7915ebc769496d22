//! The models of a run: when one fails, the next one answers.

use super::context::{Conversation, WantedSummary, estimate};
use super::registry::ResolvedAgent;
use super::{AgentError, AgentServices};
use crate::error_counts::FailingPart;
use crate::model::{FinishReason, Message, ModelError, ModelEvent, ModelRequest, ToolCall};
use futures::StreamExt;
use std::future::poll_fn;
use std::sync::Arc;
use threadline_engine::{AskedModel, Citation, RunContext, RunWriter};
use threadline_schema::runs;

/// Maximum number of pieces of a response between two wake-ups of the subscribers.
const MAX_UNANNOUNCED: u32 = 128;

/// The models that can answer a run. A model that has taken over answers the later turns too.
pub(super) struct ModelChain<'a> {
    services: &'a AgentServices,
    agent: &'a ResolvedAgent,
    run: &'a RunContext,
    /// Index of the model that answers.
    current: usize,
    /// The summary that the last prompt has lacked.
    wanted_summary: Option<WantedSummary>,
}

impl<'a> ModelChain<'a> {
    pub(super) fn new(services: &'a AgentServices, agent: &'a ResolvedAgent, run: &'a RunContext) -> Self {
        Self { services, agent, run, current: 0, wanted_summary: None }
    }

    /// Returns the summary that the last prompt has lacked.
    pub(super) fn wanted_summary(&self) -> Option<WantedSummary> {
        self.wanted_summary
    }

    /// Streams one turn: text goes to the writer, tool calls are returned. There is text, or a tool call.
    ///
    /// A model that fails after its own retries gives way to the next, also in the middle of a message. That message is
    /// withdrawn, because the text of another model would not continue it.
    pub(super) async fn answer(
        &mut self,
        turn: u32,
        conversation: &Conversation,
        writer: &mut RunWriter,
    ) -> Result<Vec<ToolCall>, AgentError> {
        let Self { agent, run, .. } = *self;
        loop {
            let error = match self.ask(turn, conversation, writer).await {
                Ok(calls) => return Ok(calls),
                Err(AgentError::Model(error)) => error,
                Err(error) => return Err(error),
            };
            agent.errors.record(FailingPart::Model, &self.name(), error.code().name());
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

    /// Asks the current model. A prompt that the server refuses because of its length is shortened until it is
    /// accepted.
    async fn ask(
        &mut self,
        turn: u32,
        conversation: &Conversation,
        writer: &mut RunWriter,
    ) -> Result<Vec<ToolCall>, AgentError> {
        let Self { services, agent, run, .. } = *self;
        let model = agent.models.get(self.current).cloned().flatten();
        let name = self.name();
        let template = ModelRequest {
            model,
            dialect: agent.dialect_of(&name),
            parameters: agent.agent.parameters.clone(),
            messages: Vec::new(),
            tools: agent.tools.specs(),
            // In the first turn only: a model that must call a tool in each turn never answers.
            tool_choice: agent.tool_choice.clone().filter(|_| turn == 0),
            request_id: run.request.request_id.clone(),
        };
        let configured = agent.context_tokens_of(&name);
        let mut refused = None;
        let mut has_named_limit = false;
        loop {
            let budget = services.windows.budget(&name, configured, &template);
            // How many tokens the tools have is only estimated, and some servers leave them out. Only a refusal shows
            // that there is no room for them and the whole message.
            let room = services.windows.room(&name, configured, &template).unwrap_or(0);
            let uncut = if refused.is_some() { 0 } else { room };
            let fitted = conversation.fit(budget, uncut);
            let wanted_summary = conversation.wanted_summary(&fitted, budget);
            let prompt = fitted.messages;
            let estimated = prompt.iter().map(estimate).sum();
            services.list_windows(estimated);
            let asked =
                AskedModel { agent: agent.agent.name.clone(), name: name.clone(), prices: agent.prices_of(&name) };
            writer.start_request(prompt.iter().map(Message::bytes).sum(), asked);
            let parameters = services.windows.parameters_for(&name, configured, &template, estimated);
            let request =
                ModelRequest { messages: prompt.into_owned(), parameters: parameters.clone(), ..template.clone() };
            let answered = self.stream(&name, request, estimated, writer).await;
            writer.wake_readers();
            let error = match answered {
                Err(AgentError::Model(error)) => error,
                result => {
                    self.wanted_summary = wanted_summary;
                    return result;
                }
            };
            writer.abandon_request();
            let ModelError::ContextLength { limit, .. } = error else { return Err(error.into()) };
            // A server may find out in the middle of an answer. The next answer does not continue it.
            writer.withdraw_message();
            if let Some(limit) = limit.filter(|_| !has_named_limit) {
                has_named_limit = true;
                services.windows.name_limit(&name, limit);
                let shorter = services.windows.parameters_for(&name, configured, &template, estimated);
                if shorter != parameters {
                    tracing::info!(model = %name, limit, "asking for a shorter answer: the window has no room for it");
                    continue;
                }
            }
            if refused.is_some_and(|refused| estimated >= refused) {
                // What is left cannot be shortened: instructions, tools, and the end of the user's message.
                return Err(error.into());
            }
            refused = Some(estimated);
            services.windows.refuse(&name, &template.tools, estimated, limit);
            metrics::counter!("threadline_prompts_refused_total").increment(1);
            tracing::info!(
                request_id = %run.request.request_id, run_id = %run.token.run_id, model = %name, estimated, limit, %error,
                "prompt is too long for the model; sending a shorter one"
            );
        }
    }

    /// Returns the name of the current model.
    fn name(&self) -> Arc<str> {
        let model = self.agent.models.get(self.current).cloned().flatten();
        model.unwrap_or_else(|| self.services.model.name().into())
    }

    async fn stream(
        &self,
        name: &Arc<str>,
        request: ModelRequest,
        estimated: u64,
        writer: &mut RunWriter,
    ) -> Result<Vec<ToolCall>, AgentError> {
        let tools = request.tools.clone();
        let mut stream = self.services.model.stream(request);
        let mut calls = Vec::new();
        let mut has_text = false;
        let mut unannounced = 0;
        loop {
            let event = poll_fn(|cx| {
                let polled = stream.poll_next_unpin(cx);
                // What came in one read of the socket is one wake-up of the subscribers.
                if polled.is_pending() || unannounced >= MAX_UNANNOUNCED {
                    unannounced = 0;
                    writer.wake_readers();
                }
                polled
            });
            let Some(event) = event.await else { break };
            unannounced += 1;
            match event? {
                ModelEvent::Thought(delta) => writer.write_thought(&delta),
                ModelEvent::TextWasThought => {
                    has_text = false;
                    writer.turn_text_into_thought();
                }
                ModelEvent::Text(delta) => {
                    has_text = true;
                    writer.show_widgets(&self.services.store, self.run.token).await?;
                    writer.add_text(&delta);
                }
                ModelEvent::Citation(citation) => {
                    writer.cite(Citation { url: citation.url, title: citation.title, end: citation.end })
                }
                ModelEvent::ToolCall(mut call) => {
                    if let Some(meant) = self.agent.tools.meant_name(&call.name) {
                        call.name = meant.into();
                    }
                    calls.push(call);
                }
                ModelEvent::Usage(usage) => {
                    self.services.windows.measure(name, &tools, estimated, usage.prompt_tokens);
                    writer.report_usage(usage);
                }
                // Thoughts, and tool calls of earlier turns, are not part of the answer.
                ModelEvent::Finished(reason) if calls.is_empty() && !has_text => {
                    return Err(ModelError::NoAnswer { reason }.into());
                }
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
        FinishReason::Refusal => runs::FinishReason::Refusal,
    }
}
