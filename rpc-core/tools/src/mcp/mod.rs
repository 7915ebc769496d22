//! Tools of servers that speak the Model Context Protocol (MCP).
//!
//! | file | does |
//! | --- | --- |
//! | `server.rs` | keeps one server running or connected, in a background task |
//! | `connection.rs` | starts the process of a server, or connects to it |
//! | `stdio.rs`, `http.rs`, `sse.rs` | carry the messages |
//! | `message.rs` | reads the messages of a server, liberally |
//! | `session.rs` | makes requests over one connection, and receives the progress of calls |
//! | `listing.rs` | lists the tools of a server, page by page |
//! | `listed_tool.rs` | validates the tools that a server lists |
//! | `pin.rs` | what the operator has approved of the tools, and what has changed |
//! | `tool.rs` | one tool of a server |
//! | `call_result.rs` | turns the result of a call into what the model reads |
//! | `blobs.rs` | binary data in results |
//! | `tasks.rs` | spawns the background tasks |

mod blobs;
mod call_result;
mod connection;
mod http;
mod listed_tool;
mod listing;
mod message;
mod pin;
mod server;
mod session;
mod sse;
mod stdio;
mod tasks;
mod tool;

pub use pin::is_fingerprint;
pub use server::{McpServer, McpStatus};
pub use tasks::McpTasks;
