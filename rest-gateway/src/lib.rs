//! Threadline's REST gateway: one table of rules that translates HTTP into JSON-RPC, and events into SSE.
//!
//! [`rules`] is the table; [`rule`] says what a row can express. Router, binder, replies, OpenAPI, the Markdown
//! reference, metric labels and the list of routes are all read off it. The core is reached through [`Upstream`]: the
//! root package hands in one that stays in the process, or a [`Remote`] one over WebSockets.
//!
//! The gateway holds no business rules and no state of users: it believes nothing about a caller and hands the token
//! on.

mod answer;
#[doc(hidden)]
pub mod bench;
mod bind;
mod body;
mod calls;
mod chat;
pub mod chatkit;
mod docs;
mod fields;
mod files;
mod head;
mod headers;
mod observe;
mod openapi;
mod pages;
mod receive;
mod remote;
pub mod reply;
mod router;
pub mod rule;
pub mod rules;
mod service;
mod sse;
mod streams;
mod upstream;

#[cfg(test)]
mod contract;

pub use body::Body;
pub use docs::{rest_markdown, routes_text};
pub use openapi::openapi;
pub use remote::{Remote, RemoteConfig, RemoteError};
pub use service::{Gateway, GatewayConfig};
pub use upstream::{Answer, Call, Frames, Opened, Refusal, Upstream};
