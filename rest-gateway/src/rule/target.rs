//! What handles a request, and how the result of a method becomes the response.

use crate::response_data::ResponseFormat;
use serde_json::value::RawValue;
use threadline_schema::ids::RunId;
use threadline_schema::rpc::MethodInfo;

/// What handles the requests of a row.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// A page that the gateway serves by itself.
    Page(Page),
    /// ChatKit's single endpoint: the `type` in the body names one of [`REQUESTS`](crate::chatkit_rules::REQUESTS).
    ChatKit,
    /// A method of the core.
    Method {
        /// The method.
        method: MethodInfo,
        /// How its result becomes the response.
        mode: ResponseMode,
    },
}

/// How the result of a method becomes the response.
#[derive(Debug, Clone, Copy)]
pub enum ResponseMode {
    /// The result is sent as JSON.
    Json(ResponseFormat),
    /// The result is a run. Its events are streamed; the HTTP status is decided at its first output.
    StartedRun {
        /// The subscription to the run.
        subscribe: MethodInfo,
    },
    /// The result names a run. Its events are streamed as ChatKit's own server does.
    ChatKitRun {
        /// The subscription to the run.
        subscribe: MethodInfo,
        /// Reads the id of the run from the result.
        run_id: fn(&RawValue) -> serde_json::Result<RunId>,
    },
    /// The method is a subscription. Its events are streamed.
    Subscription(StreamScope),
    /// The body is a file. It is sent to the method in chunks; the last result is sent as JSON.
    Upload(ResponseFormat),
    /// The result is a chunk of a file. All chunks are sent, one call each.
    Download,
    /// The result is a piece of JSON Lines. All pieces are sent, one call each.
    Export,
}

/// Whose events a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamScope {
    /// One run's. The stream ends with the run.
    Run,
    /// One thread's. The stream continues from run to run.
    Thread,
}

/// A page that the gateway serves by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// Version, and links to the documents.
    Root,
    /// Liveness of the process.
    Health,
    /// Prometheus metrics.
    Metrics,
    /// The OpenAPI document.
    OpenApi,
    /// The API reference as HTML.
    Docs,
    /// The API reference as an interactive page.
    Reference,
    /// A file of the interactive reference. The path names it.
    ReferenceFile,
    /// The chat page.
    Chat,
    /// A file of the chat page. The path names it.
    ChatFile,
    /// The console of operators.
    Console,
    /// A file of the console. The path names it.
    ConsoleFile,
}

/// What a row says about a parameter. Values are JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Always this value. A client cannot send the parameter.
    Fixed(&'static str),
    /// This value when the client sends none.
    Default(&'static str),
    /// The client must send a value, although the method does not require it.
    Required,
    /// Never any value. A client cannot send the parameter.
    Omitted,
}
