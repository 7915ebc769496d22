//! `input.*`

use crate::agent::AgentRegistry;
use crate::budget::Budgets;
use crate::error::Error;
use crate::model::Model;
use crate::model::Recording;
use crate::rpc::call::CallContext;
use crate::rpc::registry::Registry;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::sync::Arc;
use threadline_engine::Engine;
use threadline_runtime::{Supervisor, TaskKind};
use threadline_schema::ErrorCode;
use threadline_schema::input::{InputTranscribe, InputTranscribeParams, Transcription};
use threadline_store::{Charge, ModelUse};

/// File name extensions of recordings, by media type: what browsers record, and what people upload.
const FORMATS: &[(&str, &str)] = &[
    ("audio/webm", "webm"),
    ("audio/ogg", "ogg"),
    ("audio/mp4", "m4a"),
    ("audio/mpeg", "mp3"),
    ("audio/wav", "wav"),
    ("audio/x-wav", "wav"),
    ("audio/flac", "flac"),
];

/// Handlers of `input.*`.
pub(crate) struct InputMethods {
    pub(crate) model: Arc<dyn Model>,
    /// Name of the model that transcribes; empty without one.
    pub(crate) transcription_model: String,
    pub(crate) agents: Arc<AgentRegistry>,
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) engine: Engine,
    pub(crate) supervisor: Supervisor,
}

impl InputMethods {
    pub(crate) fn register(self, registry: &mut Registry) {
        registry.namespace(self).command(InputTranscribe, Self::transcribe);
    }

    async fn transcribe(
        self: Arc<Self>,
        call: CallContext,
        params: InputTranscribeParams,
    ) -> Result<Transcription, Error> {
        let user_id = call.user_id()?;
        let bare = params.mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let Some((mime_type, extension)) = FORMATS.iter().find(|(mime_type, _)| *mime_type == bare) else {
            let known = FORMATS.iter().map(|(mime_type, _)| *mime_type).collect::<Vec<_>>().join(", ");
            return Err(Error::invalid(format!("`mime_type` is not one of the accepted types: {known}.")));
        };
        let bytes = BASE64.decode(params.audio_base64).map_err(|_| Error::invalid("`audio_base64` is not base64."))?;
        if bytes.is_empty() {
            return Err(Error::invalid("`audio_base64` is empty."));
        }
        let size = bytes.len();
        let request_id = call.request_id().clone();
        let recording = Recording { bytes: bytes.into(), mime_type, extension, request_id };
        let unavailable = || {
            let message = "This server turns no speech into text. Its operator has to set TRANSCRIPTION_MODEL, and a \
                           model's server that has it.";
            Error::new(ErrorCode::ServiceUnavailable, message)
        };
        if self.transcription_model.is_empty() {
            return Err(unavailable());
        }
        let class = self.budgets.class_of(user_id, call.service_key_id()).await?;
        let agent = self.agents.current().default_agent().with_budget_class(class);
        let (charge, reservation) = self.budgets.transcription(&agent, &self.transcription_model, size)?;
        // Detached: a client that leaves neither keeps what is held, nor gets the work for nothing.
        let (this, agent_name) = (self.clone(), agent.agent.name.clone());
        let work = async move {
            // Recorded before the work: if this process dies, or the database is away at the end, it is booked later.
            let held = this.engine.hold(user_id, charge, reservation).await;
            let hold = held.map_err(|error| this.budgets.explain(error.into()))?;
            let transcribed = match this.model.transcribe(recording) {
                Some(transcribed) => Some(transcribed.await),
                None => None,
            };
            let charge = if matches!(transcribed, Some(Ok(_))) { charge } else { Charge::default() };
            let used = ModelUse {
                agent: agent_name,
                model: this.transcription_model.as_str().into(),
                prompt_tokens: charge.prompt_tokens,
                completion_tokens: charge.completion_tokens,
                cost_micros: charge.cost_micros.unwrap_or_default(),
            };
            this.engine.settle(hold, charge, vec![used]).await;
            let transcribed = transcribed.ok_or_else(unavailable)?;
            transcribed.map_err(|error| Error::new(error.code(), error.public_message()).because(error))
        };
        let transcribed = self.supervisor.spawn_with_result(TaskKind::Request, work).await.map_err(Error::internal)?;
        let text = transcribed.ok_or_else(Error::stopping)??;
        Ok(Transcription { text })
    }
}
