//! Answers a message: prompt, model, tools, and again, until the model answers in text.

use super::abandon_pending::abandon_pending_calls;
use super::model_chain::ModelChain;
use super::registry::ResolvedAgent;
use super::run_calls::run_calls;
use super::titles::TitleHandle;
use super::{AgentError, AgentServices, prompt, tool_results};
use crate::model::{Message, ToolCall};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use threadline_engine::{DriverError, PendingCall, RequestedCall, RunContext, RunDriver, RunWriter};
use threadline_schema::runs::{FinishReason, Usage};
use threadline_store::Charge;

/// Answers the newest message of a thread, or the one that is to be answered again.
pub(crate) struct AnswerDriver {
    services: Arc<AgentServices>,
    agent: ResolvedAgent,
    /// The title that a model thinks of meanwhile.
    title: Option<TitleHandle>,
}

impl AnswerDriver {
    pub(crate) fn new(services: Arc<AgentServices>, agent: ResolvedAgent, title: Option<TitleHandle>) -> Self {
        Self { services, agent, title }
    }

    async fn answer(&self, run: &RunContext, writer: &mut RunWriter) -> Result<(), AgentError> {
        let Self { services, agent: resolved, .. } = self;
        let AgentServices { store, clock, .. } = &**services;
        let agent = &resolved.agent;
        let history = store.history_to(run.token.thread_id, run.retry_of, services.history_items);
        let mut history = history.await?;
        abandon_pending_calls(store, run.token, &mut history, writer).await?;
        let facts = prompt::request_facts(&agent.prompt_facts, run.request.hints.as_deref(), clock.now());
        let mut messages = prompt::build(&agent.instructions, facts, &history)?;
        services.attachments.load_into_prompt(&mut messages).await;
        let mut models = ModelChain::new(services, resolved, run);

        for turn in 0..agent.max_turns {
            let calls = models.answer(turn, &messages, writer).await?;
            if calls.is_empty() {
                return Ok(());
            }
            let text = writer.open_text().to_owned();
            let pending = resolved.tools.first_pending(&calls);
            let pending_index = pending.as_ref().map(|(index, _)| *index);
            let requested: Vec<RequestedCall> = calls.iter().map(requested_call).collect();
            writer.begin_calls(turn, &requested, pending_index);
            writer.store_items(store, run.token).await?;
            let results = run_calls(store, resolved, run, &calls, pending_index, writer).await?;
            if let Some((index, pending)) = pending
                && let Some(call) = requested.get(index)
            {
                // Another run continues with the answer.
                writer.leave_pending(index, call, pending_call(pending));
                return Ok(());
            }
            messages.push(Message::Assistant { text, tool_calls: calls.clone() });
            tool_results::push(&mut messages, calls, results);
        }
        writer.finish_answer(FinishReason::TurnLimit);
        Err(AgentError::TurnLimit(agent.max_turns))
    }
}

impl RunDriver for AnswerDriver {
    fn agent(&self) -> &str {
        &self.agent.agent.name
    }

    fn drive<'a>(
        &'a mut self,
        run: &'a RunContext,
        writer: &'a mut RunWriter,
    ) -> BoxFuture<'a, Result<(), DriverError>> {
        async move { Ok(self.answer(run, writer).await?) }.boxed()
    }

    fn finish(&mut self) -> Option<(Usage, Charge)> {
        self.title.as_ref().and_then(TitleHandle::run_ends)
    }
}

pub(super) fn requested_call(call: &ToolCall) -> RequestedCall {
    let ToolCall { id, name, arguments, echo } = call.clone();
    // Made of text and numbers, which can always be serialised.
    let echo = echo.and_then(|echo| serde_json::to_value(echo).ok());
    RequestedCall { id, name, arguments, echo }
}

fn pending_call(pending: threadline_tools::PendingCall) -> PendingCall {
    match pending {
        threadline_tools::PendingCall::ClientTool(arguments) => PendingCall::ClientTool(arguments),
        threadline_tools::PendingCall::Questions(questions) => PendingCall::StructuredInput(questions),
    }
}
