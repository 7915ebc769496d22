//! Answers a message: prompt, model, tools, and again, until the model answers in text.

use super::abandon_pending::abandon_pending_calls;
use super::approved_call::{ApprovedCall, MadeCall, make_open_calls};
use super::context::Conversation;
use super::execute_calls::execute_calls;
use super::model_chain::ModelChain;
use super::registry::ResolvedAgent;
use super::summaries::{self, SummaryJob};
use super::titles::TitleHandle;
use super::{AgentError, AgentServices, prompt, tool_results};
use crate::model::{Message, ToolCall};
use chrono::TimeDelta;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::BTreeSet;
use std::sync::Arc;
use threadline_engine::wire::CallApproval;
use threadline_engine::{
    DriverError, Engine, PendingCall, RequestedCall, RunContext, RunDriver, RunWriter, UsageMeter, WaitingCall,
};
use threadline_schema::chatkit::ToolApproval;
use threadline_schema::db::types::UtcTime;
use threadline_schema::items::ItemKind;
use threadline_schema::runs::{FinishReason, Usage};
use threadline_tools::{ApprovalRequest, Permission, Toolbox, approval_questions};

/// Answers the newest message of a thread, or the one that is to be answered again.
pub(crate) struct AnswerDriver {
    services: Arc<AgentServices>,
    agent: ResolvedAgent,
    /// The title request that runs beside the answer.
    title: Option<TitleHandle>,
    /// The call that the run begins with.
    approved: Option<ApprovedCall>,
    /// Where the job of a summary is started; `None` if none is.
    engine: Option<Engine>,
    /// The job that begins when the run has ended.
    summary: Option<SummaryJob>,
}

/// What the model is asked first.
struct Prepared {
    conversation: Conversation,
    /// The tools whose calls the user has approved for the thread.
    approved: BTreeSet<String>,
    /// Number of the turn before which the run has made calls, and of the next turn.
    first_turn: u32,
    next_turn: u32,
}

impl AnswerDriver {
    pub(crate) fn new(
        services: Arc<AgentServices>,
        agent: ResolvedAgent,
        title: Option<TitleHandle>,
        approved: Option<ApprovedCall>,
    ) -> Self {
        Self { services, agent, title, approved, engine: None, summary: None }
    }

    /// Starts a summary of the turns that the prompt leaves out, after the end of the run.
    pub(crate) fn with_summaries(self, engine: Engine) -> Self {
        Self { engine: Some(engine), ..self }
    }

    async fn answer(&mut self, run: &RunContext, writer: &mut RunWriter) -> Result<(), AgentError> {
        let (services, resolved) = (self.services.clone(), self.agent.clone());
        services.summaries.interrupt(run.token.thread_id);
        let mut models = ModelChain::new(&services, &resolved, run);
        let answered = self.answer_with(&mut models, run, writer).await;
        self.summary = models.wanted_summary().and_then(|wanted| SummaryJob::new(&services, &resolved, run, wanted));
        answered
    }

    async fn answer_with(
        &self,
        models: &mut ModelChain<'_>,
        run: &RunContext,
        writer: &mut RunWriter,
    ) -> Result<(), AgentError> {
        let Self { services, agent: resolved, .. } = self;
        let AgentServices { store, clock, .. } = &**services;
        // Boxed, as other long steps here: a run spends nearly all its time reading the stream of the model.
        let Prepared { mut conversation, approved, first_turn, next_turn } =
            Box::pin(self.prepare(run, writer)).await?;
        let permission = Permission::OfModel(&approved);

        // A call that the user had approved is a turn without a question to the model.
        for turn in next_turn.saturating_sub(first_turn)..resolved.agent.max_turns {
            if turn > 0 {
                Box::pin(self.top_up(run, writer)).await?;
            }
            let calls = models.answer(turn, &conversation, writer).await?;
            if calls.is_empty() {
                return Ok(());
            }
            let text = writer.open_text().to_owned();
            let pending = resolved.tools.first_pending(&calls, permission);
            let pending = pending.map(|(index, pending)| (index, waiting_call(pending, clock.now())));
            let pending_index = pending.as_ref().map(|(index, _)| *index);
            let waiting =
                pending.as_ref().map(|(index, waiting)| WaitingCall { index: *index, approval: waiting.approval });
            let requested: Vec<RequestedCall> =
                calls.iter().map(|call| requested_call(call, &resolved.tools)).collect();
            writer.begin_calls(first_turn + turn, &requested, waiting);
            writer.store_items(store, run.token).await?;
            let results = execute_calls(store, resolved, run, &calls, pending_index, permission, writer);
            let results = Box::pin(results).await?;
            if let Some((index, waiting)) = pending
                && let Some(call) = requested.get(index)
            {
                // Another run continues with the answer.
                writer.leave_pending(index, call, waiting.into_pending(call));
                return Ok(());
            }
            conversation.messages.push(Message::Assistant { text, tool_calls: calls.clone() });
            tool_results::push(&mut conversation.messages, calls, results);
        }
        writer.finish_answer(FinishReason::TurnLimit);
        Err(AgentError::TurnLimit(resolved.agent.max_turns))
    }

    /// Makes the calls that were left to make, and reads what the model is to be asked.
    async fn prepare(&self, run: &RunContext, writer: &mut RunWriter) -> Result<Prepared, AgentError> {
        let Self { services, agent: resolved, .. } = self;
        let AgentServices { store, clock, .. } = &**services;
        let agent = &resolved.agent;
        // First, so that the run knows the call even if something fails later.
        let made = match &self.approved {
            Some(call) => Some(call.make(store, resolved, run, writer).await?),
            None => None,
        };
        let approved = match resolved.tools.may_ask_for_approval() {
            true => store.approved_tools(run.token.thread_id).await?,
            false => BTreeSet::new(),
        };
        let mut made = Vec::from_iter(made);
        made.extend(make_open_calls(store, resolved, run, Permission::OfModel(&approved), writer).await?);
        let history = store.history_to(run.token.thread_id, run.retry_of, services.history_items);
        let mut history = history.await?;
        let is_partial = history.len() >= usize::try_from(services.history_items).unwrap_or(usize::MAX);
        if !history.iter().any(|item| item.kind == ItemKind::UserMessage)
            && let Some(first) = history.first()
            && let Some(question) = store.message_before(run.token.thread_id, first.position).await?
        {
            // The run has more items than are read. Without the question, they would mean nothing to the model.
            history.insert(0, question);
        }
        if run.progress.is_some() && run.retry_of.is_some() {
            // What the run has done so far is behind the answer that it replaces.
            history.extend(store.run_items(run.token.run_id).await?);
        }
        for made in &made {
            made.put_into(&mut history)?;
        }
        abandon_pending_calls(store, run, &mut history, writer).await?;
        let hints = run.request.hints.as_deref();
        let facts = prompt::RequestFacts::new(&agent.prompt_facts, hints, clock.now());
        let mut conversation = prompt::build(&agent.instructions, facts, &history)?;
        conversation.is_partial = is_partial;
        conversation.summary = summaries::of_thread(services, resolved, run.token.thread_id).await;
        services.attachments.load_into_prompt(&mut conversation.messages).await;
        let (first_turn, next_turn) = match run.progress {
            Some(progress) => (u32::from(progress.began_with_approved_call), progress.next_turn),
            None => (u32::from(self.approved.is_some()), u32::from(self.approved.is_some())),
        };
        for MadeCall { name, result, .. } in made {
            tool_results::push_images(&mut conversation.messages, &name, result.images);
        }
        Ok(Prepared { conversation, approved, first_turn, next_turn })
    }
}

impl AnswerDriver {
    /// Reserves budget for what the run has used and for its next request, before the request is made.
    async fn top_up(&self, run: &RunContext, writer: &RunWriter) -> Result<(), AgentError> {
        let Self { services, agent, .. } = self;
        let budgets = &services.budgets;
        if let Some(reservation) = budgets.reservation_after(agent, writer.charge())? {
            let held = services.store.budget_top_up(run.token, reservation).await;
            held.map_err(|error| budgets.explain(error.into()))?;
        }
        Ok(())
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

    fn finish(&mut self) -> Option<(Usage, UsageMeter)> {
        self.title.as_ref().and_then(TitleHandle::run_ends)
    }

    fn after_end(&mut self) {
        if let (Some(job), Some(engine)) = (self.summary.take(), &self.engine) {
            job.spawn(engine);
        }
    }
}

pub(super) fn requested_call(call: &ToolCall, tools: &Toolbox) -> RequestedCall {
    let ToolCall { id, name, arguments, echo } = call.clone();
    let is_idempotent = tools.is_idempotent(&name);
    // Made of text and numbers, which can always be serialised.
    let echo = echo.and_then(|echo| serde_json::to_value(echo).ok());
    RequestedCall { id, name, arguments, echo, is_idempotent }
}

/// What a call waits for.
struct Waiting {
    pending: threadline_tools::PendingCall,
    /// Stored with the call if it waits for the user's approval.
    approval: Option<CallApproval>,
}

fn waiting_call(pending: threadline_tools::PendingCall, now: UtcTime) -> Waiting {
    let approval = match &pending {
        threadline_tools::PendingCall::Approval(ApprovalRequest { is_first, expires_after, .. }) => {
            let expires_at = now.utc().checked_add_signed(TimeDelta::from_std(*expires_after).unwrap_or_default());
            Some(CallApproval { expires_at: expires_at.unwrap_or(now.utc()), is_first: *is_first, outcome: None })
        }
        _ => None,
    };
    Waiting { pending, approval }
}

impl Waiting {
    fn into_pending(self, call: &RequestedCall) -> PendingCall {
        match (self.pending, self.approval) {
            (threadline_tools::PendingCall::ClientTool(arguments), _) => PendingCall::ClientTool(arguments),
            (threadline_tools::PendingCall::Questions(questions), _) => PendingCall::StructuredInput(questions),
            (threadline_tools::PendingCall::Approval(ApprovalRequest { arguments, .. }), approval) => {
                let questions = approval_questions(&call.name, &arguments);
                let shown = ToolApproval {
                    call_id: call.id.clone(),
                    tool: call.name.clone(),
                    arguments,
                    expires_at: approval.map(|approval| approval.expires_at).unwrap_or_default(),
                    outcome: None,
                    edited_arguments: None,
                };
                PendingCall::Approval(questions, shown)
            }
        }
    }
}
