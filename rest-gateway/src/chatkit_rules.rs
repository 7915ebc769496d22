//! THE TABLE of ChatKit's request types: one row each. A request type has the name of its method.

use crate::response_data::{ChatKitThread, ChatKitThreads, Unchanged};
use crate::rule::{MethodRuleBuilder, Preset, Rule, post};
use threadline_schema::ErrorCode::{
    AttachmentNotFound, BudgetExceeded, Conflict, EmptyMessage, Forbidden, ItemNotFound, MessageTooLong,
    PayloadTooLarge, SessionLimit, TaskNotFound, ThreadBusy, ThreadNotFound, UpstreamError, UpstreamTimeout,
};
use threadline_schema::rpc::RpcMethod;
use threadline_schema::{attachments, input, items, threads};

/// Every request type of ChatKit's endpoint.
pub static REQUESTS: &[Rule] = &[
    request::<threads::ThreadsGetById>()
        .returns_bare::<ChatKitThread>()
        .presets(&[("include_tool_calls", Preset::Omitted)])
        .fails(&[ThreadNotFound, ItemNotFound, Forbidden]),
    request::<threads::ThreadsCreate>()
        .streams_started_run_to_chatkit()
        .presets(&[("input", Preset::Required)])
        .fails(&[EmptyMessage, MessageTooLong, SessionLimit, AttachmentNotFound, Conflict, BudgetExceeded]),
    request::<threads::ThreadsList>().returns_bare::<ChatKitThreads>(),
    request::<threads::ThreadsAddUserMessage>().streams_started_run_to_chatkit().fails(&[
        EmptyMessage,
        MessageTooLong,
        AttachmentNotFound,
        ThreadBusy,
        Conflict,
        BudgetExceeded,
        ThreadNotFound,
        Forbidden,
    ]),
    request::<threads::ThreadsRetryAfterItem>().streams_started_run_to_chatkit().fails(&[
        ThreadBusy,
        Conflict,
        BudgetExceeded,
        ThreadNotFound,
        ItemNotFound,
        Forbidden,
    ]),
    request::<threads::ThreadsAddClientToolOutput>().streams_started_run_to_chatkit().fails(&[
        ThreadBusy,
        Conflict,
        BudgetExceeded,
        ThreadNotFound,
        Forbidden,
    ]),
    request::<threads::ThreadsAddStructuredInput>().streams_started_run_to_chatkit().fails(&[
        ThreadBusy,
        Conflict,
        BudgetExceeded,
        ThreadNotFound,
        ItemNotFound,
        Forbidden,
    ]),
    request::<threads::ThreadsCustomAction>().streams_started_run_to_chatkit().fails(&[
        ThreadBusy,
        Conflict,
        ThreadNotFound,
        ItemNotFound,
        Forbidden,
    ]),
    request::<threads::ThreadsSyncCustomAction>().returns_bare::<Unchanged>().fails(&[
        ThreadNotFound,
        ItemNotFound,
        TaskNotFound,
        Conflict,
        UpstreamError,
        Forbidden,
    ]),
    request::<items::ItemsList>().returns_bare::<Unchanged>().fails(&[ThreadNotFound, ItemNotFound, Forbidden]),
    request::<items::ItemsFeedback>().returns_bare::<Unchanged>().fails(&[ThreadNotFound, ItemNotFound, Forbidden]),
    request::<threads::ThreadsUpdate>().returns_bare::<ChatKitThread>().fails(&[ThreadNotFound, Conflict, Forbidden]),
    request::<attachments::AttachmentsCreate>().returns_bare::<Unchanged>().fails(&[PayloadTooLarge]),
    request::<attachments::AttachmentsDelete>().returns_bare::<Unchanged>().fails(&[
        AttachmentNotFound,
        Conflict,
        Forbidden,
    ]),
    request::<input::InputTranscribe>().returns_bare::<Unchanged>().fails(&[
        BudgetExceeded,
        UpstreamError,
        UpstreamTimeout,
    ]),
    request::<threads::ThreadsDelete>().returns_bare::<Unchanged>().fails(&[ThreadNotFound, Conflict, Forbidden]),
];

/// Starts a row. The path is that of the endpoint, for documents.
const fn request<M: RpcMethod>() -> MethodRuleBuilder<M> {
    post("/chatkit").calls::<M>()
}
