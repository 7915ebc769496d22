//! Agents: which model and which tools answer a thread.
//!
//! | file | holds |
//! | --- | --- |
//! | `registry.rs` | [`AgentRegistry`]: the current agents of this process |
//! | `agent_set.rs` | [`AgentSet`]: the agents of one agents file; finds the agent of a thread |
//! | `agent.rs` | [`Agent`]: one agent, with its tools |
//! | `resolved_agent.rs` | [`ResolvedAgent`]: the agent of one run |
//! | `tool_catalog.rs` | all tools that agents can have |
//! | `file/` | reads and validates the agents file |

mod agent;
mod agent_set;
mod file;
mod registry;
mod resolved_agent;
mod tool_catalog;

pub use file::AgentsFileError;
pub(crate) use registry::AgentRegistry;
pub use registry::{AgentsError, check_mcp_servers};
pub(crate) use resolved_agent::ResolvedAgent;
