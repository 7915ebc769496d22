//! THE TABLE of ChatKit's request types: one row each, called like the method behind it.

use crate::reply::{ChatKitThread, ChatKitThreads, Whole};
use crate::rule::{Calls, Preset, Rule, post};
use threadline_schema::ErrorCode::{
    Conflict, EmptyMessage, Forbidden, ItemNotFound, MessageTooLong, SessionLimit, TaskNotFound, ThreadBusy,
    ThreadNotFound,
};
use threadline_schema::rpc::RpcMethod;
use threadline_schema::{items, threads};

/// Every request type.
pub static REQUESTS: &[Rule] = &[
    request::<threads::ThreadsGetById>()
        .answers::<ChatKitThread>()
        .presets(&[("include_tool_calls", Preset::Withheld)])
        .fails(&[ThreadNotFound, ItemNotFound, Forbidden]),
    request::<threads::ThreadsCreate>().streams_to_chatkit().presets(&[("input", Preset::Required)]).fails(&[
        EmptyMessage,
        MessageTooLong,
        SessionLimit,
        Conflict,
    ]),
    request::<threads::ThreadsList>().answers::<ChatKitThreads>(),
    request::<threads::ThreadsAddUserMessage>().streams_to_chatkit().fails(&[
        EmptyMessage,
        MessageTooLong,
        ThreadBusy,
        Conflict,
        ThreadNotFound,
        Forbidden,
    ]),
    request::<threads::ThreadsRetryAfterItem>().streams_to_chatkit().fails(&[
        ThreadBusy,
        Conflict,
        ThreadNotFound,
        ItemNotFound,
        Forbidden,
    ]),
    request::<threads::ThreadsAddClientToolOutput>().streams_to_chatkit().fails(&[
        ThreadBusy,
        Conflict,
        ThreadNotFound,
        Forbidden,
    ]),
    request::<threads::ThreadsAddStructuredInput>().streams_to_chatkit().fails(&[
        ThreadBusy,
        Conflict,
        ThreadNotFound,
        ItemNotFound,
        Forbidden,
    ]),
    request::<threads::ThreadsCustomAction>().streams_to_chatkit().fails(&[
        ThreadBusy,
        Conflict,
        ThreadNotFound,
        ItemNotFound,
        Forbidden,
    ]),
    request::<threads::ThreadsSyncCustomAction>().answers::<Whole>().fails(&[
        ThreadNotFound,
        ItemNotFound,
        TaskNotFound,
        Conflict,
        Forbidden,
    ]),
    request::<items::ItemsList>().answers::<Whole>().fails(&[ThreadNotFound, Forbidden]),
    request::<items::ItemsFeedback>().answers::<Whole>().fails(&[ThreadNotFound, ItemNotFound, Forbidden]),
    request::<threads::ThreadsUpdate>().answers::<ChatKitThread>().fails(&[ThreadNotFound, Forbidden]),
    request::<threads::ThreadsDelete>().answers::<Whole>().fails(&[ThreadNotFound, Forbidden]),
];

/// Begins a row. The path is that of the endpoint, for the documents.
const fn request<M: RpcMethod>() -> Calls<M> {
    post("/chatkit").calls::<M>()
}
