//! How models are reached, and what is asked of them.

use secrecy::SecretString;
use serde::Serialize;
use std::time::Duration;

/// The model behind the assistant.
#[derive(Debug, Clone)]
pub enum ModelConfig {
    /// Built in; needs nothing.
    Demo(DemoConfig),
    /// A server that speaks OpenAI's chat completions.
    OpenAi(OpenAiConfig),
}

/// The demo model.
#[derive(Debug, Clone)]
pub struct DemoConfig {
    /// Pause between two words.
    pub word_pause: Duration,
}

/// A server that speaks OpenAI's chat completions.
#[derive(Debug, Clone)]
pub struct OpenAiConfig {
    /// Base URL, such as `https://openrouter.ai/api/v1`, which can contain a key. `/chat/completions` is appended.
    pub base_url: SecretString,
    /// Key, sent as a bearer token.
    pub api_key: SecretString,
    /// Name of the model.
    pub model: String,
    /// `HTTP-Referer`, by which OpenRouter knows the site.
    pub site_url: Option<String>,
    /// `X-Title`, by which OpenRouter knows the application.
    pub app_name: Option<String>,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for the first token, and longest silence after it.
    pub token_timeout: Duration,
    /// Tries in all, the first included; a failure after the first token is never tried again.
    pub max_attempts: u32,
    /// Name of the model that turns speech into text; `None` where there is none.
    pub transcription_model: Option<String>,
}

/// What goes with a request to a model, as OpenAI's chat completions name it. What is absent is the server's choice.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ModelParameters {
    /// How far it strays from the likeliest word, 0 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Share of the likeliest words it chooses from, above 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Tokens of one answer, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// The same for models that think, and count it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<u32>,
    /// Against saying the same often, -2 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    /// Against saying the same again, -2 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    /// For answers that can be repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Texts at which it stops.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// How long it thinks, in the server's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<String>,
}
