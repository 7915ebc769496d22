//! The port to a language model.

use crate::dialect::{DialectOverrides, ModelDialect};
use crate::error::ModelError;
use crate::event::ModelEvent;
use crate::request::{ModelRequest, Recording};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

/// A language model.
///
/// # The stream
///
/// [`Model::stream`] sends the request when it is first polled. It yields, in this order:
///
/// 1. any number of [`ModelEvent::Thought`], [`ModelEvent::Text`] and [`ModelEvent::Citation`];
/// 2. after the body has ended well, one [`ModelEvent::ToolCall`] for each complete call;
/// 3. at most one [`ModelEvent::Usage`];
/// 4. [`ModelEvent::Finished`]. There is text or a tool call before it.
///
/// An `Err` can come at any point. Nothing follows an `Err` or [`ModelEvent::Finished`].
///
/// A model that says nothing is asked once more, if the configuration allows a second attempt. Its thoughts and its
/// usage then stand before the events of the second response.
///
/// The stream limits the time to connect, the time to the first token and the time between tokens. The caller limits
/// the whole run. The stream retries by itself, but only before the first token. Dropping it closes the connection.
pub trait Model: Send + Sync + 'static {
    /// Streams one response.
    fn stream(&self, request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>>;

    /// Checks that the server responds, accepts the key and offers the model.
    fn check_health(&self) -> BoxFuture<'_, Result<(), ModelError>>;

    /// Converts speech into text. Returns `None` if no transcription model is configured.
    fn transcribe(&self, _recording: Recording) -> Option<BoxFuture<'_, Result<String, ModelError>>> {
        None
    }

    /// Returns the dialect of a model of this server; `None` if the model has none, like the demo. `model` is `None`
    /// for the configured one.
    fn dialect(&self, _model: Option<&str>, _overrides: Option<&DialectOverrides>) -> Option<ModelDialect> {
        None
    }

    /// Reads the server's list of models: their names, and how many tokens each can read, where the list says so.
    fn context_windows(&self) -> BoxFuture<'_, Result<Vec<(String, u64)>, ModelError>> {
        futures::future::ready(Ok(Vec::new())).boxed()
    }

    /// Returns whether the model does what instructions say, such as writing a title or a summary.
    fn follows_instructions(&self) -> bool {
        true
    }

    /// Returns `demo` or `openai-compatible`.
    fn kind(&self) -> &'static str;

    /// Returns the name of the configured model.
    fn name(&self) -> &str;
}
