//! Language models behind one trait: servers that speak OpenAI's chat completions, and the built-in demo.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests make times and ids of their own, and await what they spawn")
)]

pub mod config;
pub mod demo;
pub mod dialect;
mod error;
mod event;
mod model;
pub mod openai;
pub mod probe;
mod request;
mod traced_stream;

pub use error::{ErrorSource, ModelError, WaitingFor};
pub use event::{Citation, Echo, FinishReason, ModelEvent, ToolCall};
pub use model::Model;
pub use request::{AttachedFile, FileContent, Message, ModelRequest, Recording, ToolSpec, UserInput};

use crate::config::ModelConfig;
use std::sync::Arc;

/// Creates the configured model.
///
/// # Errors
///
/// If the HTTP client cannot be built, for example because a URL or a header value is invalid.
pub fn open(config: &ModelConfig) -> Result<Arc<dyn Model>, reqwest::Error> {
    Ok(match config {
        ModelConfig::Demo(demo) => Arc::new(demo::DemoModel::new(demo.clone())),
        ModelConfig::OpenAi(server) => Arc::new(openai::OpenAiModel::new(server.clone())?),
    })
}
