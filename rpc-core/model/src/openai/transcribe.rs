//! Speech -> text, as OpenAI's `/audio/transcriptions` does it.

use super::attempt::refusal;
use super::endpoint::Endpoint;
use super::failure;
use crate::{ModelError, Recording};
use futures::StreamExt;
use reqwest::multipart::{Form, Part};
use serde::Deserialize;
use tokio::time::timeout;

/// Bytes of an answer: words, which no recording that fits into a request has more of.
const MAX_ANSWER_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
struct Answer {
    text: String,
}

/// Asks for the words of a recording. Nothing is tried again: whoever speaks waits, and can press the button once more.
///
/// # Errors
///
/// When the server cannot be reached, refuses, is silent for too long, or answers something else.
pub(super) async fn transcribe(endpoint: &Endpoint, model: String, recording: Recording) -> Result<String, ModelError> {
    let limit = endpoint.config.token_timeout;
    match timeout(limit, ask(endpoint, model, recording)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(ModelError::Timeout { waiting_for: "a transcription", limit }),
    }
}

async fn ask(endpoint: &Endpoint, model: String, recording: Recording) -> Result<String, ModelError> {
    let Recording { bytes, mime_type, extension, request_id } = recording;
    let length = bytes.len() as u64;
    let audio = Part::stream_with_length(bytes, length).file_name(format!("recording.{extension}")).mime_str(mime_type);
    let audio = audio.map_err(|error| ModelError::Broken(error.to_string()))?;
    let form = Form::new().text("model", model).text("response_format", "json").part("file", audio);
    let request = endpoint.transcription(form, &request_id).map_err(|error| ModelError::Broken(error.to_string()))?;
    let unreachable = |error| failure::unreachable(error, endpoint.config.connect_timeout);
    let response = endpoint.client.execute(request).await.map_err(unreachable)?;
    if !response.status().is_success() {
        return Err(refusal(response).await);
    }
    let mut body = Vec::new();
    let mut bytes = response.bytes_stream();
    while let Some(part) = bytes.next().await {
        body.extend_from_slice(&part.map_err(|error| failure::broken(&error.without_url()))?);
        if body.len() > MAX_ANSWER_BYTES {
            return Err(ModelError::Broken(format!("a transcription has more than {MAX_ANSWER_BYTES} bytes")));
        }
    }
    let answer: Answer = serde_json::from_slice(&body)
        .map_err(|error| ModelError::Broken(format!("a transcription cannot be read: {error}")))?;
    Ok(answer.text)
}
