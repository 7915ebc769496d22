//! JSON-RPC: the transports, and the pipeline that every call passes.
//!
//! A transport turns a request into a [`call::Call`] and gives it to the [`pipeline::Pipeline`], which finds the method
//! in the [`registry::Registry`] and returns a [`reply::Reply`]. Nothing here knows a method: `core.rs` registers them.

pub(crate) mod call;
mod feed;
mod members;
mod open_streams;
pub mod openrpc;
pub(crate) mod pipeline;
pub(crate) mod registry;
pub(crate) mod reply;
mod transport;
mod whole_numbers;

pub use call::HiddenMethods;
pub use feed::Feed;
pub(crate) use open_streams::OpenStreams;
#[cfg(feature = "bench")]
pub(crate) use open_streams::StreamPermit;
pub use reply::{CallError, Response};
pub(crate) use transport::RpcServerParts;
pub use transport::{GatewayTrust, RpcHttpConfig, RpcServer};
