//! JSON-RPC: the transports, the pipeline that every call passes, and the methods.

pub(crate) mod context;
mod feed;
mod methods;
pub mod openrpc;
mod pipeline;
pub(crate) mod registry;
mod stream_permits;
mod transport;

pub use feed::Feed;
pub(crate) use stream_permits::OpenStreams;
pub use transport::{Answer, RpcHttpConfig, RpcServer};
