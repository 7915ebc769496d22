//! Tools of servers that speak the Model Context Protocol.
//!
//! | file | does |
//! | --- | --- |
//! | `server.rs` | one server: kept running, or connected, for as long as somebody holds it |
//! | `connect.rs` | how it is reached |
//! | `line.rs` | one call, and what is said of it meanwhile |
//! | `listed.rs` | what it says it offers -> what agents are given |
//! | `tool.rs` | one of its tools |

mod connect;
mod line;
mod listed;
mod server;
mod tool;

pub(crate) use server::McpServer;
