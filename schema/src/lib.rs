//! What both sides of Threadline agree on.
//!
//! One marker type per RPC method ([`rpc::RpcMethod`]) names the method and ties it to its params, its result and
//! its documentation; the core registers it, the gateway's table names it, and both API documents are made from it.
//! Beside the methods stand the ChatKit wire types, the closed table of errors, and — behind the feature `db` —
//! the diesel tables and column types.
//!
//! Nothing here does I/O or knows a transport.

pub mod attachments;
pub mod auth;
pub mod call;
pub mod chatkit;
#[cfg(feature = "db")]
pub mod db;
pub mod error;
pub mod event;
pub mod head;
pub mod ids;
pub mod input;
pub mod items;
pub mod page;
pub mod rpc;
pub mod runs;
pub mod system;
pub mod tasks;
pub mod threads;
pub mod tool_result;
pub mod usage;

pub use error::{ErrorCode, RpcError};
pub use rpc::{Access, Kind, MethodInfo, RpcMethod};
