//! Converts speech into text with OpenAI's `/audio/transcriptions`.

use super::endpoint::Endpoint;
use super::error;
use crate::{ModelError, Recording, WaitingFor};
use futures::StreamExt;
use reqwest::multipart::{Form, Part};
use serde::Deserialize;
use tokio::time::timeout;

/// Largest transcription. A recording that fits into a request has less text.
const MAX_BODY_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
struct Transcription {
    text: String,
}

/// Requests the transcription of a recording. It makes one attempt: the user waits, and can repeat it.
///
/// # Errors
///
/// If the server cannot be reached, refuses, is silent for too long, or sends an invalid response.
pub(super) async fn transcribe(endpoint: &Endpoint, model: String, recording: Recording) -> Result<String, ModelError> {
    let limit = endpoint.config.token_timeout;
    let timed_out = ModelError::Timeout { waiting_for: WaitingFor::Transcription, limit };
    timeout(limit, request(endpoint, model, recording)).await.unwrap_or(Err(timed_out))
}

async fn request(endpoint: &Endpoint, model: String, recording: Recording) -> Result<String, ModelError> {
    let Recording { bytes, mime_type, extension, request_id } = recording;
    let length = bytes.len() as u64;
    let invalid = |error: reqwest::Error| ModelError::invalid_response(error.to_string());
    let audio = Part::stream_with_length(bytes, length).file_name(format!("recording.{extension}"));
    let audio = audio.mime_str(mime_type).map_err(invalid)?;
    let form = Form::new().text("model", model).text("response_format", "json").part("file", audio);
    let request = endpoint.transcription_request(form, &request_id).map_err(invalid)?;
    let send_error = |error| error::from_send_error(error, endpoint.config.connect_timeout);
    let response = endpoint.client.execute(request).await.map_err(send_error)?;
    if !response.status().is_success() {
        return Err(error::from_response(response).await);
    }
    let mut body = Vec::new();
    let mut bytes = response.bytes_stream();
    while let Some(part) = bytes.next().await {
        body.extend_from_slice(&part.map_err(|error| error::from_body_error(error.without_url()))?);
        if body.len() > MAX_BODY_BYTES {
            let message = format!("the transcription has more than {MAX_BODY_BYTES} bytes");
            return Err(ModelError::invalid_response(message));
        }
    }
    let transcription: Transcription = serde_json::from_slice(&body)
        .map_err(|error| ModelError::invalid_response(format!("the transcription is invalid: {error}")))?;
    Ok(transcription.text)
}
