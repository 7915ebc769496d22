//! A tool call that the user has approved: the run that continues with the answer makes it, before it asks the model.
//!
//! The decision is committed with the start of that run, and the call belongs to the run from then on. Nothing else makes
//! the call: it is made at most once. If the process dies, the call ends as every call of a run does.

use super::AgentError;
use super::registry::ResolvedAgent;
use super::run_calls::run_calls;
use crate::model::ToolCall;
use crate::store::Store;
use crate::store::rows::ItemRow;
use std::slice;
use threadline_engine::wire::{ToolCallBody, replace_bodies};
use threadline_engine::{RunContext, RunWriter};
use threadline_schema::chatkit::ApprovalOutcome;
use threadline_schema::ids::{ItemId, RunId, ThreadId, UserId};
use threadline_schema::tool_result::UNKNOWN_RESULT;
use threadline_tools::{CallOutcome, Permission, ToolResult};

/// A call that the user has approved, as it is stored.
#[derive(Clone)]
pub(crate) struct ApprovedCall {
    pub(crate) item_id: ItemId,
    pub(crate) body: ToolCallBody,
}

/// A call that has been made.
pub(super) struct MadeCall {
    item_id: ItemId,
    body: ToolCallBody,
    pub(super) name: String,
    pub(super) result: ToolResult,
}

impl ApprovedCall {
    /// Makes the call.
    pub(super) async fn make(
        &self,
        store: &Store,
        agent: &ResolvedAgent,
        run: &RunContext,
        writer: &mut RunWriter,
    ) -> Result<MadeCall, AgentError> {
        let Self { item_id, body } = self.clone();
        writer.adopt_call(item_id, body.clone());
        let call = ToolCall {
            id: body.id.clone(),
            name: body.name.clone(),
            arguments: body.arguments.clone(),
            ..ToolCall::default()
        };
        let calls = slice::from_ref(&call);
        let results = run_calls(store, agent, run, calls, None, Permission::OfUser, writer).await?;
        let result = results.into_iter().flatten().next().unwrap_or_else(|| ToolResult {
            content: UNKNOWN_RESULT.to_owned(),
            images: Vec::new(),
            failure: None,
            outcome: CallOutcome::Unknown,
            widget: None,
            may_have_changed_data: true,
        });
        Ok(MadeCall { item_id, body, name: call.name, result })
    }
}

impl MadeCall {
    /// Puts the result into the items: it may not have been stored yet.
    pub(super) fn put_into(&self, items: &mut [ItemRow]) -> Result<(), AgentError> {
        let body = ToolCallBody { result: Some(self.result.content.clone()), ..self.body.clone() };
        replace_bodies(items, &[(self.item_id, serde_json::to_string(&body)?)]);
        Ok(())
    }
}

/// Counts a decision about a call, and logs it: who decided what, about which call.
pub(crate) fn record_decision(
    outcome: ApprovalOutcome,
    user_id: UserId,
    thread_id: ThreadId,
    run_id: Option<RunId>,
    call: &ToolCallBody,
) {
    metrics::counter!("threadline_tool_approvals_total", "outcome" => outcome.name()).increment(1);
    tracing::info!(
        outcome = outcome.name(),
        %user_id,
        %thread_id,
        run_id = run_id.map(tracing::field::display),
        tool = call.name,
        call_id = call.id,
        "decision about a tool call"
    );
}
