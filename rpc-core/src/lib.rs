//! The Threadline service: JSON-RPC methods, runs, the agent loop, models, tools and storage.
//!
//! [`Core`] makes the parts of the service, and starts and stops them; [`RpcServer`] has the ways in.
//! `docs/ARCHITECTURE.md` shows the way of a request through the modules.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests make times and ids of their own, and await what they spawn")
)]

mod account_tools;
mod accounts;
mod agent;
mod attachments;
mod audit;
mod auth;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod budget;
mod built_in_tools;
pub mod config;
mod core;
mod error;
mod error_counts;
mod health;
mod input;
mod limits;
mod maintenance;
mod methods;
mod page;
mod process_report;
mod redis;
mod retention;
mod rpc;
mod todo;
mod typed_tool;

use threadline_engine::wire;

pub use threadline_model as model;
pub use threadline_signals as signals;
pub use threadline_signals::{Redis, RedisUrlError};
pub use threadline_store as store;
pub use threadline_store::lenient_tls as tls;

pub use account_tools::AccountTools;
pub use accounts::{AccountExport, Accounts, Erasure, NewInvitation, NewServiceKey, check_role};
pub use agent::{AgentsError, AgentsFileError, check_mcp_servers};
pub use attachments::{AttachmentsError, check_storage};
pub use auth::foreign::check_provider;
pub use auth::secret_code::generate_password;
pub use auth::token::Tokens;
pub use core::{Core, StartError};
pub use error::Error;
pub use rpc::{CallError, Feed, GatewayTrust, HiddenMethods, Response, RpcHttpConfig, RpcServer, openrpc};
pub use threadline_tools::mcp::McpStatus;
