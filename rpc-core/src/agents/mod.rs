//! Agents: what the agents file says of them.

mod file;

pub use file::AgentsFileError;
