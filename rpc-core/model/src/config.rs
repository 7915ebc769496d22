//! Configuration of a model.

use secrecy::SecretString;
use serde::Serialize;
use std::time::Duration;

/// Which model answers.
#[derive(Debug, Clone)]
pub enum ModelConfig {
    /// The built-in demo. It needs no server and no key.
    Demo(DemoConfig),
    /// A server that speaks OpenAI's chat completions.
    OpenAi(OpenAiConfig),
}

/// Settings of the demo model.
#[derive(Debug, Clone)]
pub struct DemoConfig {
    /// Pause between two words.
    pub word_pause: Duration,
}

/// Settings of a server that speaks OpenAI's chat completions.
#[derive(Debug, Clone)]
pub struct OpenAiConfig {
    /// Base URL such as `https://openrouter.ai/api/v1`. `/chat/completions` is appended. The URL can contain a key.
    pub base_url: SecretString,
    /// Key, sent as a bearer token.
    pub api_key: SecretString,
    /// Name of the model.
    pub model: String,
    /// Sent as `HTTP-Referer`. OpenRouter identifies the site by it.
    pub site_url: Option<String>,
    /// Sent as `X-Title`. OpenRouter identifies the application by it.
    pub app_name: Option<String>,
    /// Time limit for a connection.
    pub connect_timeout: Duration,
    /// Time limit for the first token, over all attempts, and for the time between two tokens.
    pub token_timeout: Duration,
    /// Number of attempts, including the first. A failure after the first token is never retried.
    pub max_attempts: u32,
    /// Name of the model that transcribes speech.
    pub transcription_model: Option<String>,
}

/// Sampling parameters and limits of a request, with the names of OpenAI's chat completions. The server chooses what
/// is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ModelParameters {
    /// Sampling temperature, 0 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Nucleus sampling: the share of the likeliest tokens to sample from, above 0 and at most 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Most tokens of one response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Most tokens of one response including reasoning, for reasoning models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_completion_tokens: Option<u32>,
    /// Penalty for frequent tokens, -2 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    /// Penalty for tokens that have already occurred, -2 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    /// Seed for repeatable responses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Texts at which the model stops.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// How long a reasoning model thinks: a value that the server defines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<String>,
}
