//! A tool call that the client or the user answers: the run ends with it, and another run continues with the answer.

use super::RequestedCall;
use super::run_writer::RunWriter;
use serde_json::{Map, Value};
use threadline_schema::chatkit::{
    ClientToolCall, ClientToolCallStatus, Extra, StructuredInput, StructuredInputItem, StructuredInputStatus,
    ThreadItem, ToolApproval,
};
use threadline_schema::event::ThreadStreamEvent;
use threadline_schema::items::ItemKind;

/// What a tool call waits for.
#[derive(Debug, Clone)]
pub enum PendingCall {
    /// The output of a client tool, called with these arguments.
    ClientTool(Map<String, Value>),
    /// The user's answers to these questions.
    StructuredInput(Vec<StructuredInput>),
    /// The user's approval of the call, which these questions ask for.
    Approval(Vec<StructuredInput>, ToolApproval),
}

impl RunWriter {
    /// Shows what the call at `index` waits for. The item is stored, and announced, with the end of the run.
    pub fn leave_pending(&mut self, index: usize, call: &RequestedCall, pending: PendingCall) {
        self.close_message();
        self.close_workflow();
        // The item that waits must be the newest one.
        self.close_widgets();
        let Some(id) = self.calls.leave_pending(index) else { return };
        self.has_output = true;
        let (thread_id, now) = (self.thread_id, self.clock.now());
        let created_at = now.utc();
        let questions = |inputs, approval| {
            let (status, extra) = (StructuredInputStatus::Pending, Extra::default());
            let item = StructuredInputItem { id, thread_id, created_at, status, inputs, approval, extra };
            (ItemKind::StructuredInput, ThreadItem::StructuredInput(item))
        };
        let (kind, item) = match pending {
            PendingCall::ClientTool(arguments) => {
                let RequestedCall { id: call_id, name, .. } = call.clone();
                let (status, output, extra) = (ClientToolCallStatus::Pending, None, Extra::default());
                let item =
                    ClientToolCall { id, thread_id, created_at, status, call_id, name, arguments, output, extra };
                (ItemKind::ClientToolCall, ThreadItem::ClientToolCall(item))
            }
            PendingCall::StructuredInput(inputs) => questions(inputs, None),
            PendingCall::Approval(inputs, approval) => questions(inputs, Some(approval)),
        };
        self.store_later(id, kind, false, &item, now);
        self.announce_later(&ThreadStreamEvent::ItemDone { item: Box::new(item) });
    }
}
