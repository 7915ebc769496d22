//! Pending calls that were not answered before the conversation continued.

use super::AgentError;
use crate::store::Store;
use crate::store::rows::{FencingToken, ItemRow};
use threadline_engine::RunWriter;
use threadline_engine::wire::{ToolCallBody, replace_bodies};
use threadline_schema::chatkit::{
    ClientToolCallStatus, StructuredInput, StructuredInputAnswer, StructuredInputStatus, ThreadItem,
};
use threadline_schema::event::ThreadStreamEvent;
use threadline_schema::items::ItemKind;
use threadline_schema::tool_result::NOT_DONE_RESULT;

/// Ends the calls among these items that still wait for the client or the user. The model reads that they were not done,
/// and the items that show them say so.
pub(super) async fn abandon_pending_calls(
    store: &Store,
    token: FencingToken,
    items: &mut [ItemRow],
    writer: &RunWriter,
) -> Result<(), AgentError> {
    let mut bodies = Vec::new();
    let mut events = Vec::new();
    for item in items.iter().filter(|item| item.kind == ItemKind::ToolCall) {
        let mut call: ToolCallBody = serde_json::from_str(&item.body)?;
        let (Some(shown_by), None) = (call.waits_for, &call.result) else { continue };
        call.result = Some(NOT_DONE_RESULT.to_owned());
        bodies.push((item.id, serde_json::to_string(&call)?));
        if let Some(row) = items.iter().find(|row| row.id.0 == shown_by) {
            let item = not_done(serde_json::from_str(&row.body)?);
            bodies.push((row.id, serde_json::to_string(&item)?));
            events.push(ThreadStreamEvent::ItemReplaced { item: Box::new(item) });
        }
    }
    if bodies.is_empty() {
        return Ok(());
    }
    replace_bodies(items, &bodies);
    store.items_rewrite(token, bodies).await?;
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
