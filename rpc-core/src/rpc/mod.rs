//! JSON-RPC: the transports, the pipeline that every call passes, and the methods.
//!
//! A transport turns a request into a [`call::Call`] and gives it to the [`pipeline::Pipeline`], which finds the method
//! in the [`registry::Registry`] and returns a [`reply::Reply`].

pub(crate) mod call;
mod feed;
mod methods;
mod open_streams;
pub mod openrpc;
mod pipeline;
pub(crate) mod registry;
mod reply;
mod transport;

pub use feed::Feed;
pub(crate) use open_streams::OpenStreams;
pub use reply::{CallError, Response};
pub use transport::{RpcHttpConfig, RpcServer, RpcServerError};
