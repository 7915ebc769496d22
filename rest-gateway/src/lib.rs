//! Threadline's REST gateway: it translates HTTP into JSON-RPC, and events into Server-Sent Events.
//!
//! A request passes these modules, in this order:
//! 1. `service`: names the request, finds its operation, adds the headers of every response;
//! 2. `router`: path and verb -> operation;
//! 3. `dispatch`: admits the caller, reads the body, binds the parameters, calls the core, makes the response;
//! 4. `bind`: path, query, headers and body -> the parameters of the method, as `operation` says;
//! 5. `upstream`: the port to the core: in the same process, or over WebSockets (`remote`);
//! 6. `response_data` or `sse`: result or events -> the body of the `response`.
//!
//! `rules` is the table of all operations and `rule` says what a row can express. Router, binder, responses,
//! OpenAPI, the Markdown reference, metric labels and the list of routes are all made from that table.
//! `chatkit_rules` is the same for the request types of ChatKit's single endpoint.
//!
//! The gateway has no business rules and keeps nothing about users. It does not verify tokens: the core does.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests make times and ids of their own, and await what they spawn")
)]

mod admin;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod bind;
mod chat;
pub mod chatkit_rules;
mod dispatch;
mod docs;
mod http;
mod openapi;
mod operation;
mod page_files;
mod pages;
mod reference;
mod remote;
mod response;
pub mod response_data;
mod router;
pub mod rule;
pub mod rules;
mod service;
mod sse;
mod upstream;

pub use docs::{errors_markdown, rest_markdown, routes_text};
pub use openapi::openapi;
pub use remote::{Remote, RemoteConfig, RemoteError};
pub use response::Body;
pub use service::{Gateway, GatewayConfig, Pages};
pub use upstream::{Call, CallError, CallResult, FrameStream, Subscription, Upstream};
