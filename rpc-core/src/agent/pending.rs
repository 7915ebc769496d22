//! Calls that nobody answered before the conversation went on.

use super::Context;
use crate::core::Core;
use crate::error::Error;
use crate::runs::Output;
use crate::store::StoreResult;
use crate::store::rows::ItemRow;
use crate::wire::{self, ToolCallBody};
use serde_json::Value;
use threadline_schema::chatkit::{
    ClientToolCallStatus, StructuredInput, StructuredInputAnswer, StructuredInputStatus, ThreadItem, ThreadStreamEvent,
};

/// Ends the calls among these items that still wait: the model reads that they were not done, and so do the items that
/// the user sees.
pub(super) async fn give_up(
    core: &Core,
    context: &Context,
    items: &mut [ItemRow],
    output: &Output,
) -> Result<StoreResult<()>, Error> {
    let mut bodies = Vec::new();
    let mut events = Vec::new();
    for item in items.iter().filter(|item| item.kind == wire::TOOL_CALL) {
        let mut call: ToolCallBody = serde_json::from_str(&item.body)?;
        let (Some(shown), None) = (call.waits_for, &call.result) else { continue };
        call.result = Some(wire::NOT_DONE_RESULT.to_owned());
        bodies.push((item.id, serde_json::to_string(&call)?));
        if let Some(row) = items.iter().find(|row| row.id.0 == shown) {
            let item = not_done(serde_json::from_str(&row.body)?);
            bodies.push((row.id, serde_json::to_string(&item)?));
            events.push(ThreadStreamEvent::ItemReplaced { item: Box::new(item) });
        }
    }
    if bodies.is_empty() {
        return Ok(Ok(()));
    }
    wire::rewrite(items, &bodies);
    let stored = core.store.items_rewrite(context.claim, bodies).await;
    if stored.is_ok() {
        events.iter().for_each(|event| output.emit(event));
    }
    Ok(stored)
}

fn not_done(mut item: ThreadItem) -> ThreadItem {
    match &mut item {
        ThreadItem::ClientToolCall(call) => {
            call.status = ClientToolCallStatus::Completed;
            call.output = serde_json::from_str::<Value>(wire::NOT_DONE_RESULT).ok();
        }
        ThreadItem::StructuredInput(asked) => {
            asked.status = StructuredInputStatus::Skipped;
            for input in &mut asked.inputs {
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
