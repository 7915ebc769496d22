//! A call that somebody else answers: the run ends with it, and another goes on when the answer is there.

use super::{Output, now};
use crate::model::ToolCall;
use crate::tools::PendingCall;
use crate::wire;
use threadline_schema::chatkit::{
    ClientToolCall, ClientToolCallStatus, Extra, StructuredInputItem, StructuredInputStatus, ThreadItem,
    ThreadStreamEvent,
};

impl Output {
    /// Shows what the call at `index` waits for. It is stored with the run's end, and told then.
    pub(crate) fn wait_for(&mut self, index: usize, call: &ToolCall, pending: PendingCall) {
        self.close_message();
        self.close_workflow();
        // What waits is the newest item.
        self.show_widgets();
        let Some(id) = self.calls.wait(index) else { return };
        self.has_begun = true;
        let (thread_id, created_at, extra) = (self.thread_id, now(), Extra::default());
        let (kind, item) = match pending {
            PendingCall::ClientTool(arguments) => {
                let ToolCall { id: call_id, name, .. } = call.clone();
                let (status, output) = (ClientToolCallStatus::Pending, None);
                let item =
                    ClientToolCall { id, thread_id, created_at, status, call_id, name, arguments, output, extra };
                (wire::CLIENT_TOOL_CALL, ThreadItem::ClientToolCall(item))
            }
            PendingCall::Questions(inputs) => {
                let status = StructuredInputStatus::Pending;
                let item = StructuredInputItem { id, thread_id, created_at, status, inputs, extra };
                (wire::STRUCTURED_INPUT, ThreadItem::StructuredInput(item))
            }
        };
        self.keep(id, kind, false, &item, created_at);
        self.announce_later(&ThreadStreamEvent::ItemDone { item: Box::new(item) });
    }
}
