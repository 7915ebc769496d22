//! Answers to what a run waits for: each completes a stored item, and begins the run that goes on with it.

use super::resume::{Resumption, asked_by, resume};
use super::runner::Work;
use super::start::Started;
use super::submission::{earlier, submission};
use crate::core::Core;
use crate::error::Error;
use crate::page;
use crate::store::rows::ItemRow;
use crate::store::{ItemPage, Opening, Rewrite, Submission};
use crate::tools::{MAX_RESULT_BYTES, ask_user};
use crate::wire::{self, ToolCallBody};
use serde_json::Value;
use std::sync::Arc;
use threadline_schema::ErrorCode;
use threadline_schema::call::RequestContext;
use threadline_schema::chatkit::{
    ClientToolCallStatus, InferenceOptions, StructuredInput, StructuredInputAnswer, StructuredInputItem,
    StructuredInputStatus, StructuredInputSubmission, SubmissionStatus, ThreadItem,
};
use threadline_schema::page::Order;
use uuid::Uuid;

/// Characters of one value that a user gives, at most.
const VALUE_CHARS: usize = 2_000;
/// Values of one answer, at most.
const VALUES: usize = 100;

/// Takes the output of the client's tool that the thread waits for, and goes on with it.
pub(crate) async fn add_client_tool_output(
    core: &Arc<Core>,
    user_id: Uuid,
    thread_id: Uuid,
    result: Value,
    key: Option<String>,
    origin: RequestContext,
) -> Result<Started, Error> {
    let text = result.to_string();
    if text.len() > MAX_RESULT_BYTES {
        let message = format!("`result` has {} bytes of JSON; at most {MAX_RESULT_BYTES} are allowed.", text.len());
        return Err(Error::new(ErrorCode::PayloadTooLarge, message));
    }
    let submission = submission(key, "threads.add_client_tool_output", Some(thread_id), &result)?;
    if let Some(earlier) = earlier(core, user_id, submission.as_ref()).await? {
        return Ok(earlier);
    }
    let page = ItemPage { limit: 1, order: Order::Desc, after: None, hidden: false };
    let newest = core.store.items_page(user_id.into(), thread_id.into(), page).await.map_err(Error::of_thread)?;
    let waits = |row: &ItemRow| match serde_json::from_str(&row.body) {
        Ok(ThreadItem::ClientToolCall(call)) if call.status == ClientToolCallStatus::Pending => Some(call),
        _ => None,
    };
    let Some((row, mut call)) = newest.0.into_iter().next().and_then(|row| waits(&row).map(|call| (row, call))) else {
        return Err(Error::new(ErrorCode::Conflict, "The thread does not wait for the output of a client's tool."));
    };
    call.status = ClientToolCallStatus::Completed;
    call.output = Some(result);
    answer(core, user_id, row, ThreadItem::ClientToolCall(call), text, submission, origin).await
}

/// Takes the user's answers to questions, and goes on with them.
pub(crate) async fn add_structured_input(
    core: &Arc<Core>,
    user_id: Uuid,
    thread_id: Uuid,
    item_id: Uuid,
    input: StructuredInputSubmission,
    key: Option<String>,
    origin: RequestContext,
) -> Result<Started, Error> {
    let submission = submission(key, "threads.add_structured_input", Some(thread_id), &(item_id, &input))?;
    if let Some(earlier) = earlier(core, user_id, submission.as_ref()).await? {
        return Ok(earlier);
    }
    let row = core.store.item_get(user_id.into(), thread_id.into(), item_id.into()).await.map_err(Error::of_thread)?;
    let ThreadItem::StructuredInput(mut asked) = serde_json::from_str(&row.body)? else {
        return Err(Error::invalid("`item_id` must name questions to the user: an item of type `structured_input`."));
    };
    if asked.status != StructuredInputStatus::Pending {
        return Err(Error::new(ErrorCode::Conflict, "These questions have been answered or skipped already."));
    }
    take_answers(&mut asked, input)?;
    let status = if asked.status == StructuredInputStatus::Answered { "answered" } else { "skipped" };
    let result = ask_user::result_of_answers(status, &asked.inputs);
    if result.len() > MAX_RESULT_BYTES {
        return Err(Error::new(ErrorCode::PayloadTooLarge, "The answers are too long. Please say it in fewer words."));
    }
    answer(core, user_id, row, ThreadItem::StructuredInput(asked), result, submission, origin).await
}

/// Stores an answer: in the item that waited for it, and as the result of the call behind that.
async fn answer(
    core: &Arc<Core>,
    user_id: Uuid,
    row: ItemRow,
    item: ThreadItem,
    result: String,
    submission: Option<Submission>,
    origin: RequestContext,
) -> Result<Started, Error> {
    let written = match row.run_id {
        Some(run_id) => core.store.run_items(run_id).await?,
        None => Vec::new(),
    };
    let calls = written.into_iter().filter(|written| written.kind == wire::TOOL_CALL);
    let call = calls.filter_map(|call| Some((serde_json::from_str::<ToolCallBody>(&call.body).ok()?, call)));
    let mut call = call.filter(|(body, _)| body.waits_for == Some(row.id.0) && body.result.is_none());
    let Some((mut body, call)) = call.next() else {
        return Err(Error::new(ErrorCode::Conflict, "Nothing waits for this answer any more."));
    };
    body.result = Some(result);
    let message = core.store.message_before(row.thread_id, row.position).await?;
    // The answer goes on as the message asked; the tool that it was to call first has been called.
    let asked = message.as_ref().map(asked_by).unwrap_or_default();
    let asked = InferenceOptions { tool_choice: None, ..asked };
    let resumption = Resumption { thread_id: row.thread_id.0, submission, origin, asked };
    let opening = Opening::Answer {
        item: Rewrite { id: row.id, old: row.body, new: serde_json::to_string(&item)? },
        call: Rewrite { id: call.id, old: call.body, new: serde_json::to_string(&body)? },
    };
    resume(core, user_id, opening, Work::Answer, Some(item), resumption).await
}

/// Records answers in the questions.
fn take_answers(asked: &mut StructuredInputItem, submission: StructuredInputSubmission) -> Result<(), Error> {
    let StructuredInputSubmission { status, mut answers } = submission;
    let skipped = status == SubmissionStatus::Skipped;
    for input in &mut asked.inputs {
        let (id, one, answer) = match input {
            StructuredInput::MultipleChoice(input) => (&input.id, !input.multiple, &mut input.answer),
            StructuredInput::Freeform(input) => (&input.id, true, &mut input.answer),
        };
        let given = answers.remove(id).filter(|given| !skipped && !given.skipped && !given.values.is_empty());
        *answer = Some(match given {
            None => StructuredInputAnswer { values: Vec::new(), skipped: true },
            Some(given) => StructuredInputAnswer { values: values(id, one, given.values)?, skipped: false },
        });
    }
    if let Some(id) = answers.keys().next() {
        let id: String = id.chars().take(100).collect();
        return Err(Error::invalid(format!("`answers` names {id:?}, which is none of these questions.")));
    }
    asked.status = if skipped { StructuredInputStatus::Skipped } else { StructuredInputStatus::Answered };
    Ok(())
}

fn values(id: &str, one: bool, values: Vec<String>) -> Result<Vec<String>, Error> {
    let most = if one { 1 } else { VALUES };
    if values.len() > most {
        return Err(Error::invalid(format!(
            "Question {id:?} takes at most {most} values; these are {}.",
            values.len()
        )));
    }
    values.into_iter().map(|value| page::text("answers", value, VALUE_CHARS)).collect()
}
