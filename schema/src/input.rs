//! `input.*`: help with writing a message.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Params of `input.transcribe`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputTranscribeParams {
    /// The recording in base64.
    #[schemars(length(min = 1))]
    pub audio_base64: String,
    /// Media type of the recording, such as `audio/webm;codecs=opus`.
    #[schemars(regex(pattern = r"^audio/(webm|ogg|mp4|mpeg|wav|x-wav|flac)( *;.*)?$"))]
    pub mime_type: String,
}

/// The text of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Transcription {
    /// The text.
    pub text: String,
}

crate::methods! {
    /// Transcribe speech to text.
    ///
    /// The recording is sent to the model server and not stored.
    InputTranscribe = "input.transcribe" (User): InputTranscribeParams => Transcription;
}
