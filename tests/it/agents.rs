//! Agents from a file: who answers, with which model and tools, and what a message may ask for.

mod choice;
mod client;
mod endpoints;
mod example;
mod fallback;
pub mod file;
mod mcp;
mod progress;
pub mod python;
mod reload;
mod widgets;
