//! The contract between the core, the gateway and clients.
//!
//! One marker type per RPC method ([`rpc::RpcMethod`]) has the name, params, result and documentation of the method.
//! The core registers it, the gateway's rules refer to it, and both API documents are generated from it. The crate also
//! has the wire types of ChatKit, the closed table of errors and, behind the feature `db`, the diesel tables and SQL
//! types.
//!
//! Nothing here does I/O or knows a transport.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests make times and ids of their own, and await what they spawn")
)]

pub mod admin;
pub mod attachments;
pub mod auth;
pub mod call;
pub mod chatkit;
#[cfg(feature = "db")]
pub mod db;
pub mod error;
pub mod event;
mod finish_reason;
pub mod frame;
pub mod head;
pub mod ids;
pub mod input;
pub mod items;
pub mod json_text;
pub mod page;
pub mod plain_text;
pub mod rpc;
pub mod runs;
pub mod system;
pub mod tasks;
pub mod text_delta;
pub mod threads;
pub mod tool_result;
pub mod usage;

pub use error::{ErrorCode, RpcError};
pub use rpc::{Access, Kind, MethodInfo, RpcMethod};
