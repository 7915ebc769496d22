//! Pending calls that were not answered before the conversation continued.

use super::AgentError;
use super::approved_call::record_decision;
use crate::store::Store;
use crate::store::rows::ItemRow;
use threadline_engine::wire::{ToolCallBody, replace_bodies};
use threadline_engine::{RunContext, RunWriter};
use threadline_schema::chatkit::{
    ApprovalOutcome, ClientToolCallStatus, StructuredInput, StructuredInputAnswer, StructuredInputStatus, ThreadItem,
};
use threadline_schema::event::ThreadStreamEvent;
use threadline_schema::items::ItemKind;
use threadline_schema::tool_result::NOT_DONE_RESULT;
use threadline_tools::ABANDONED_RESULT;

/// Ends the calls among these items that still wait for the client or the user. The model reads that they were not
/// done, and the items that show them say so.
pub(super) async fn abandon_pending_calls(
    store: &Store,
    run: &RunContext,
    items: &mut [ItemRow],
    writer: &RunWriter,
) -> Result<(), AgentError> {
    let mut bodies = Vec::new();
    let mut events = Vec::new();
    let mut refused = Vec::new();
    for item in items.iter().filter(|item| item.kind == ItemKind::ToolCall) {
        let mut call: ToolCallBody = serde_json::from_str(&item.body)?;
        let (Some(shown_by), None) = (call.waits_for, &call.result) else { continue };
        let result = match &mut call.approval {
            Some(approval) => {
                approval.outcome = Some(ApprovalOutcome::Abandoned);
                ABANDONED_RESULT
            }
            None => NOT_DONE_RESULT,
        };
        call.result = Some(result.to_owned());
        bodies.push((item.id, serde_json::to_string(&call)?));
        if let Some(row) = items.iter().find(|row| row.id == shown_by) {
            let item = not_done(serde_json::from_str(&row.body)?);
            bodies.push((row.id, serde_json::to_string(&item)?));
            events.push(ThreadStreamEvent::ItemReplaced { item: Box::new(item) });
        }
        if call.approval.is_some() {
            refused.push(call);
        }
    }
    if bodies.is_empty() {
        return Ok(());
    }
    replace_bodies(items, &bodies);
    let RunContext { token, user_id, .. } = *run;
    store.items_rewrite(token, bodies).await?;
    for call in &refused {
        record_decision(ApprovalOutcome::Abandoned, user_id, token.thread_id, Some(token.run_id), call);
    }
    events.iter().for_each(|event| writer.emit(event));
    Ok(())
}

fn not_done(mut item: ThreadItem) -> ThreadItem {
    match &mut item {
        ThreadItem::ClientToolCall(call) => {
            call.status = ClientToolCallStatus::Completed;
            call.output = serde_json::from_str(NOT_DONE_RESULT).ok();
        }
        ThreadItem::StructuredInput(questions) => {
            questions.status = StructuredInputStatus::Skipped;
            for input in &mut questions.inputs {
                *answer_of(input) = Some(StructuredInputAnswer { values: Vec::new(), skipped: true });
            }
            if let Some(approval) = &mut questions.approval {
                approval.outcome = Some(ApprovalOutcome::Abandoned);
            }
        }
        _ => {}
    }
    item
}

fn answer_of(input: &mut StructuredInput) -> &mut Option<StructuredInputAnswer> {
    match input {
        StructuredInput::MultipleChoice(input) => &mut input.answer,
        StructuredInput::Freeform(input) => &mut input.answer,
    }
}
