//! `input.*`: what helps to write a message.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Params of `input.transcribe`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputTranscribeParams {
    /// The recording, in base64.
    pub audio_base64: String,
    /// Its media type, such as `audio/webm;codecs=opus`.
    pub mime_type: String,
}

/// What was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Transcription {
    /// The words.
    pub text: String,
}

crate::methods! {
    /// Turn speech into text.
    ///
    /// The recording is handed to the model's server and not kept.
    InputTranscribe = "input.transcribe" (User): InputTranscribeParams => Transcription;
}
