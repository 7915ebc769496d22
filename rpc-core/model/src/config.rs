//! Configuration of a model.

use crate::dialect::DialectOverrides;
use secrecy::SecretString;
use serde::Serialize;
use std::sync::Arc;
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
    /// What the operator sets of the dialect of the configured model.
    pub dialect: Option<Arc<DialectOverrides>>,
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
    /// Maximum number of tokens of one response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Maximum number of tokens of one response including reasoning, for reasoning models.
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

#[cfg(test)]
mod tests {
    use super::ModelParameters;
    use crate::dialect::PARAMETERS;

    #[test]
    fn every_parameter_has_its_name() {
        let all = ModelParameters {
            temperature: Some(1.0),
            top_p: Some(1.0),
            max_tokens: Some(1),
            max_completion_tokens: Some(1),
            frequency_penalty: Some(1.0),
            presence_penalty: Some(1.0),
            seed: Some(1),
            stop: vec!["x".to_owned()],
            reasoning_effort: Some("low".to_owned()),
        };
        let all = serde_json::to_value(&all).unwrap();
        let mut names: Vec<&str> = all.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = PARAMETERS.to_vec();
        names.sort_unstable();
        expected.sort_unstable();
        assert_eq!(names, expected);
    }
}
