//! The charge of a run whose process has died: an estimate of the tokens that its models have read and written. The
//! usage that their servers had reported is lost.

use crate::shared::Shared;
use crate::wire::ToolCallBody;
use std::collections::BTreeSet;
use threadline_schema::chatkit::ThreadItem;
use threadline_schema::error::Chain;
use threadline_schema::items::ItemKind;
use threadline_store::Charge;
use threadline_store::rows::{ItemRow, RunRow};

/// Bytes of text per token, roughly, as for other estimates.
const BYTES_PER_TOKEN: usize = 4;
/// Items of the conversation that are counted as its prompt.
const PROMPT_ITEMS: u32 = 100;

/// Returns the charge of a run with these items, as far as they got.
pub(super) async fn estimated_charge(shared: &Shared, run: &RunRow, items: &[ItemRow]) -> Charge {
    let history = match shared.store.history(run.thread_id, PROMPT_ITEMS).await {
        Ok(history) => history,
        Err(error) => {
            tracing::warn!(run_id = %run.id, error = %Chain(&error), "conversation of a dead run cannot be read");
            Vec::new()
        }
    };
    // The message of the user belongs to the run, and is read.
    let written_by_model = || items.iter().filter(|item| item.kind != ItemKind::UserMessage);
    let own: BTreeSet<_> = written_by_model().map(|item| item.id).collect();
    let before = history.iter().filter(|item| !own.contains(&item.id) && item.position <= run.position);
    let prompt: usize = before.map(text_bytes).sum();
    let mut turns = BTreeSet::new();
    let (mut written, mut is_answering) = (0_usize, false);
    for item in written_by_model() {
        match serde_json::from_str::<ToolCallBody>(&item.body).ok().filter(|_| item.kind == ItemKind::ToolCall) {
            Some(call) => {
                turns.insert(call.turn);
            }
            None => is_answering |= item.kind == ItemKind::AssistantMessage,
        }
        written = written.saturating_add(text_bytes(item));
    }
    // Each turn reads the conversation, and later ones what the earlier ones have written.
    let requests = (turns.len() + usize::from(is_answering || turns.is_empty())).max(1);
    let read = prompt.saturating_mul(requests).saturating_add(written.saturating_mul(requests - 1));
    let (prompt_tokens, completion_tokens) = (tokens(read), tokens(written));
    // The price of a token is known from what the run held; it is the highest that it could pay.
    let all = prompt_tokens.saturating_add(completion_tokens);
    let cost_micros = (run.held_micros > 0 && run.held_tokens > 0)
        .then(|| i64::try_from(i128::from(all) * i128::from(run.held_micros) / i128::from(run.held_tokens)).ok())
        .flatten();
    Charge { prompt_tokens, completion_tokens, cost_micros }
}

fn tokens(bytes: usize) -> i64 {
    i64::try_from(bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(i64::MAX)
}

/// Returns the bytes of an item that a model reads or has written.
fn text_bytes(item: &ItemRow) -> usize {
    if item.kind == ItemKind::ToolCall {
        return serde_json::from_str::<ToolCallBody>(&item.body)
            .map_or(0, |call| call.arguments.len() + call.result.map_or(0, |result| result.len()));
    }
    match serde_json::from_str(&item.body) {
        Ok(ThreadItem::UserMessage(message)) => message.content.iter().map(|part| part.text().len()).sum(),
        Ok(ThreadItem::AssistantMessage(message)) => message.content.iter().map(|part| part.text().len()).sum(),
        _ => 0,
    }
}
