//! Answers to what a run has left pending: each completes a stored item, and starts the run that continues with it.

use super::InputRequest;
use super::answer_run::{AnswerRuns, ResumedAnswer, inference_options_of};
use super::approvals::{DecidedCall, was_decided_by};
use crate::agent::record_decision;
use crate::error::Error;
use crate::page;
use crate::store::ItemPage;
use crate::store::rows::ItemRow;
use serde_json::Value;
use std::sync::Arc;
use threadline_engine::StartedRun;
use threadline_engine::wire::{CallApproval, ToolCallBody};
use threadline_schema::ErrorCode;
use threadline_schema::chatkit::{
    ClientToolCallStatus, InferenceOptions, StructuredInput, StructuredInputAnswer, StructuredInputItem,
    StructuredInputStatus, StructuredInputSubmission, SubmissionStatus, ThreadItem,
};
use threadline_schema::ids::{ItemId, ThreadId};
use threadline_schema::items::ItemKind;
use threadline_schema::page::Order;
use threadline_store::{IdempotencyKey, ItemRewrite, RunInput};
use threadline_tools::{MAX_RESULT_BYTES, ask_user};

/// Maximum number of characters of one value.
const MAX_VALUE_CHARS: usize = 2_000;
/// Maximum number of values of one answer.
const MAX_VALUES: usize = 100;

/// Accepts answers to what a run has left pending.
pub(crate) struct PendingAnswers {
    pub(crate) runs: Arc<AnswerRuns>,
}

/// An item that waited for an answer, with the answer.
struct Answered {
    /// The item as it is stored.
    row: ItemRow,
    /// The item with the answer.
    item: ThreadItem,
    /// The result of the tool call behind it. JSON text.
    result: String,
}

/// A call that waits for an answer.
struct WaitingCall {
    /// The call as it is stored.
    call: ItemRow,
    /// The same, read.
    body: ToolCallBody,
}

impl PendingAnswers {
    /// Stores the output of the client tool that the thread waits for, and starts the run that continues with it.
    pub(crate) async fn add_client_tool_output(
        &self,
        request: InputRequest,
        thread_id: ThreadId,
        output: Value,
    ) -> Result<StartedRun, Error> {
        let AnswerRuns { store, engine, .. } = &*self.runs;
        let text = output.to_string();
        if text.len() > MAX_RESULT_BYTES {
            let message = format!("`result` has {} bytes of JSON; at most {MAX_RESULT_BYTES} are allowed.", text.len());
            return Err(Error::new(ErrorCode::PayloadTooLarge, message));
        }
        let key = request.idempotency_key("threads.add_client_tool_output", Some(thread_id), &output)?;
        if let Some(replayed) = engine.find_replay(request.user_id, key.as_ref()).await? {
            return Ok(replayed);
        }
        let has_output = |row: &ItemRow| match serde_json::from_str(&row.body) {
            Ok(ThreadItem::ClientToolCall(call)) => {
                call.status == ClientToolCallStatus::Completed && call.output.as_ref() == Some(&output)
            }
            _ => false,
        };
        let kind = ItemKind::ClientToolCall;
        if let Some(run) = request.find_run_of_answer(&self.runs, thread_id, kind, has_output).await? {
            return Ok(run);
        }
        let page = ItemPage { limit: 1, order: Order::Desc, after: None, hidden: false };
        let (newest, _) = store.items_page(request.user_id, thread_id, page).await?;
        let pending = |row: &ItemRow| match serde_json::from_str(&row.body) {
            Ok(ThreadItem::ClientToolCall(call)) if call.status == ClientToolCallStatus::Pending => Some(call),
            _ => None,
        };
        let newest = newest.into_iter().next();
        let Some((row, mut call)) = newest.and_then(|row| pending(&row).map(|call| (row, call))) else {
            return Err(Error::new(ErrorCode::Conflict, "The thread does not wait for the output of a client's tool."));
        };
        call.status = ClientToolCallStatus::Completed;
        call.output = Some(output);
        let waiting = self.waiting_call(&row).await?;
        let answered = Answered { row, item: ThreadItem::ClientToolCall(call), result: text };
        self.continue_with(request, key, answered, waiting).await
    }

    /// Stores the user's answers to questions, and starts the run that continues with them.
    pub(crate) async fn add_structured_input(
        &self,
        request: InputRequest,
        thread_id: ThreadId,
        item_id: ItemId,
        input: StructuredInputSubmission,
    ) -> Result<StartedRun, Error> {
        let AnswerRuns { store, engine, .. } = &*self.runs;
        let key = request.idempotency_key("threads.add_structured_input", Some(thread_id), &(item_id, &input))?;
        if let Some(replayed) = engine.find_replay(request.user_id, key.as_ref()).await? {
            return Ok(replayed);
        }
        let has_answers = |row: &ItemRow| row.id == item_id && has_answers(row, &input);
        let kind = ItemKind::StructuredInput;
        if let Some(run) = request.find_run_of_answer(&self.runs, thread_id, kind, has_answers).await? {
            return Ok(run);
        }
        let row = store.item_get(request.user_id, thread_id, item_id).await?;
        let ThreadItem::StructuredInput(mut questions) = serde_json::from_str(&row.body)? else {
            return Err(Error::invalid(
                "`item_id` must name questions to the user: an item of type `structured_input`.",
            ));
        };
        if questions.status != StructuredInputStatus::Pending {
            return Err(Error::new(ErrorCode::Conflict, "These questions have been answered or skipped already."));
        }
        let waiting = self.waiting_call(&row).await?;
        if let Some(approval) = waiting.body.approval {
            return self.decide(request, key, row, questions, waiting, approval, input).await;
        }
        record_answers(&mut questions, input)?;
        let is_answered = questions.status == StructuredInputStatus::Answered;
        let result = ask_user::result_of_answers(if is_answered { "answered" } else { "skipped" }, &questions.inputs);
        if result.len() > MAX_RESULT_BYTES {
            let message = "The answers are too long. Please shorten them.";
            return Err(Error::new(ErrorCode::PayloadTooLarge, message));
        }
        let answered = Answered { row, item: ThreadItem::StructuredInput(questions), result };
        self.continue_with(request, key, answered, waiting).await
    }

    /// Decides about the call that waits for approval, and starts the run that makes it, or reads that it is refused.
    #[expect(clippy::too_many_arguments, reason = "what was read before it is known that this is an approval")]
    async fn decide(
        &self,
        request: InputRequest,
        key: Option<IdempotencyKey>,
        row: ItemRow,
        questions: StructuredInputItem,
        waiting: WaitingCall,
        approval: CallApproval,
        submission: StructuredInputSubmission,
    ) -> Result<StartedRun, Error> {
        let AnswerRuns { store, services, agents, .. } = &*self.runs;
        // Who has said something else since has refused, also if the run that answers it died before it wrote so.
        let newest_message = store.message_before(row.thread_id, i64::MAX).await?;
        if newest_message.is_some_and(|message| message.position > row.position) {
            return Err(nothing_waits());
        }
        let (user_id, thread_id) = (request.user_id, row.thread_id);
        let thread = store.thread_get(user_id, thread_id).await?;
        let options = self.options_of(&row).await?;
        let agent = agents.current().resolve_again(&thread, &options);
        let WaitingCall { call, body } = waiting;
        let decided = DecidedCall::new(approval, body, questions, submission, &agent, services.clock.now().utc())?;
        let approved = decided.approved_call(call.id);
        let DecidedCall { outcome, body, questions, approved_tool } = decided;
        let item = ThreadItem::StructuredInput(questions);
        let input = RunInput::Answer {
            item: ItemRewrite { id: row.id, old: row.body, new: serde_json::to_string(&item)? },
            call: ItemRewrite { id: call.id, old: call.body, new: serde_json::to_string(&body)? },
            makes_call: approved.is_some(),
            approved_tool,
        };
        let input = ResumedAnswer { input, replaced: Some(item), options, approved };
        let started = self.runs.resume(request, key, thread_id, input).await?;
        if !started.is_replayed {
            record_decision(outcome, user_id, thread_id, started.run.as_ref().map(|run| run.id), &body);
        }
        Ok(started)
    }

    /// Stores an answer, in its item and as the result of the tool call behind it, and starts the run that continues.
    async fn continue_with(
        &self,
        request: InputRequest,
        key: Option<IdempotencyKey>,
        answered: Answered,
        waiting: WaitingCall,
    ) -> Result<StartedRun, Error> {
        let Answered { row, item, result } = answered;
        let WaitingCall { call, mut body } = waiting;
        body.result = Some(result);
        let options = self.options_of(&row).await?;
        let input = RunInput::Answer {
            item: ItemRewrite { id: row.id, old: row.body, new: serde_json::to_string(&item)? },
            call: ItemRewrite { id: call.id, old: call.body, new: serde_json::to_string(&body)? },
            makes_call: false,
            approved_tool: None,
        };
        let input = ResumedAnswer { input, replaced: Some(item), options, approved: None };
        self.runs.resume(request, key, row.thread_id, input).await
    }

    /// Returns the call that waits for the answer to an item.
    async fn waiting_call(&self, row: &ItemRow) -> Result<WaitingCall, Error> {
        let items = match row.run_id {
            Some(run_id) => self.runs.store.run_items(run_id).await?,
            None => Vec::new(),
        };
        let calls = items.into_iter().filter(|item| item.kind == ItemKind::ToolCall);
        let calls = calls.filter_map(|call| Some((serde_json::from_str::<ToolCallBody>(&call.body).ok()?, call)));
        let mut calls = calls.filter(|(body, _)| body.waits_for == Some(row.id) && body.result.is_none());
        calls.next().map(|(body, call)| WaitingCall { call, body }).ok_or_else(nothing_waits)
    }

    /// Returns the options of the run that continues: as the message asked. The tool that had to be called first has
    /// been called.
    async fn options_of(&self, row: &ItemRow) -> Result<InferenceOptions, Error> {
        let message = self.runs.store.message_before(row.thread_id, row.position).await?;
        let options = message.as_ref().map(inference_options_of).unwrap_or_default();
        Ok(InferenceOptions { tool_choice: None, ..options })
    }
}

fn nothing_waits() -> Error {
    Error::new(ErrorCode::Conflict, "Nothing waits for this answer any more.")
}

/// Returns whether questions to the user have been answered like this.
fn has_answers(row: &ItemRow, submission: &StructuredInputSubmission) -> bool {
    let Ok(ThreadItem::StructuredInput(questions)) = serde_json::from_str(&row.body) else { return false };
    if questions.status == StructuredInputStatus::Pending {
        return false;
    }
    if questions.approval.is_some() {
        return was_decided_by(&questions, submission);
    }
    let mut again = questions.clone();
    record_answers(&mut again, submission.clone()).is_ok()
        && (again.status, &again.inputs) == (questions.status, &questions.inputs)
}

/// Records answers in the questions.
fn record_answers(questions: &mut StructuredInputItem, submission: StructuredInputSubmission) -> Result<(), Error> {
    let StructuredInputSubmission { status, mut answers } = submission;
    let skipped = status == SubmissionStatus::Skipped;
    for input in &mut questions.inputs {
        let (id, is_single, answer) = match input {
            StructuredInput::MultipleChoice(input) => (&input.id, !input.multiple, &mut input.answer),
            StructuredInput::Freeform(input) => (&input.id, true, &mut input.answer),
        };
        let given = answers.remove(id).filter(|given| !skipped && !given.skipped && !given.values.is_empty());
        *answer = Some(match given {
            None => StructuredInputAnswer { values: Vec::new(), skipped: true },
            Some(given) => StructuredInputAnswer { values: check_values(id, is_single, given.values)?, skipped: false },
        });
    }
    if let Some(id) = answers.keys().next() {
        let id: String = id.chars().take(100).collect();
        return Err(Error::invalid(format!("`answers` names {id:?}, which is not one of these questions.")));
    }
    questions.status = if skipped { StructuredInputStatus::Skipped } else { StructuredInputStatus::Answered };
    Ok(())
}

fn check_values(id: &str, is_single: bool, values: Vec<String>) -> Result<Vec<String>, Error> {
    let limit = if is_single { 1 } else { MAX_VALUES };
    if values.len() > limit {
        return Err(Error::invalid(format!(
            "Question {id:?} takes at most {limit} values; these are {}.",
            values.len()
        )));
    }
    values.into_iter().map(|value| page::text("answers", value, MAX_VALUE_CHARS)).collect()
}
