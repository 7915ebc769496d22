//! Tools of servers that speak the Model Context Protocol (MCP).
//!
//! | file | does |
//! | --- | --- |
//! | `server.rs` | keeps one server running or connected, in a background task |
//! | `connection.rs` | starts the process of a server, or connects to it |
//! | `session.rs` | makes calls over one connection, and receives their progress |
//! | `listed_tool.rs` | validates the tools that a server lists |
//! | `tool.rs` | one tool of a server |
//! | `tasks.rs` | spawns the background tasks |

mod connection;
mod listed_tool;
mod server;
mod session;
mod tasks;
mod tool;

pub use server::McpServer;
pub use tasks::McpTasks;
