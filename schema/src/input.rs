//! `input.*`: help with writing a message.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Base64 with padding. The unused bits of the last character are 0.
const BASE64: &str =
    "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|[A-Za-z0-9+/][AQgw]==)$";

/// Params of `input.transcribe`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputTranscribeParams {
    /// The recording in base64.
    #[schemars(length(min = 4), regex(pattern = BASE64), extend("contentEncoding" = "base64"))]
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
