//! Tool calls that are stored before the run's driver starts, and are made before it asks the model: one that the user
//! has approved, and those that a process had begun that died.
//!
//! The decision about an approved call is committed with the start of that run, and the call belongs to the run from
//! then on. Nothing else makes the call: it is made at most once. If the process dies, the call ends as every call of a
//! run does.

use super::AgentError;
use super::execute_calls::execute_calls;
use super::registry::ResolvedAgent;
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
        let call = call_of(&body);
        let calls = slice::from_ref(&call);
        let results = execute_calls(store, agent, run, calls, None, Permission::OfUser, writer).await?;
        let result = results.into_iter().flatten().next().unwrap_or_else(unknown_result);
        Ok(MadeCall { item_id, body, name: call.name, result })
    }
}

/// Makes the calls that another process may have made before it died. Only calls that may be made twice are left open.
pub(super) async fn make_open_calls(
    store: &Store,
    agent: &ResolvedAgent,
    run: &RunContext,
    permission: Permission<'_>,
    writer: &mut RunWriter,
) -> Result<Vec<MadeCall>, AgentError> {
    let open = writer.open_calls();
    if run.progress.is_none() || open.is_empty() {
        return Ok(Vec::new());
    }
    let is_approved = |body: &ToolCallBody| {
        body.approval.and_then(|approval| approval.outcome).is_some_and(ApprovalOutcome::is_approval)
    };
    // Such a call is the only one of its turn.
    let permission = if open.iter().any(|(_, body)| is_approved(body)) { Permission::OfUser } else { permission };
    let calls: Vec<ToolCall> = open.iter().map(|(_, body)| call_of(body)).collect();
    let results = execute_calls(store, agent, run, &calls, None, permission, writer).await?;
    let made = open.into_iter().zip(calls).zip(results);
    Ok(made
        .map(|(((item_id, body), call), result)| MadeCall {
            item_id,
            body,
            name: call.name,
            result: result.unwrap_or_else(unknown_result),
        })
        .collect())
}

fn call_of(body: &ToolCallBody) -> ToolCall {
    let ToolCallBody { id, name, arguments, .. } = body.clone();
    ToolCall { id, name, arguments, ..ToolCall::default() }
}

fn unknown_result() -> ToolResult {
    ToolResult {
        content: UNKNOWN_RESULT.to_owned(),
        images: Vec::new(),
        failure: None,
        outcome: CallOutcome::Unknown,
        widget: None,
        may_have_changed_data: true,
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
