//! Agents of the agents file: their models and tools, and the options of a message.

mod approval;
mod choice;
mod client;
pub mod endpoints;
mod example;
mod fallback;
pub mod file;
mod mcp;
mod mcp_as_they_are;
mod progress;
pub mod python;
mod reload;
mod summaries;
mod widgets;
