//! Why a driver could not finish a run.

use crate::error::Error;
use crate::model::ModelError;
use crate::store::StoreError;
use threadline_engine::DriverError;
use threadline_schema::ErrorCode;
use threadline_schema::error::Failure;

/// Why a driver could not finish a run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentError {
    /// The last model in the chain failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model kept calling tools.
    #[error("no answer within {0} turns")]
    TurnLimit(u32),
    /// Conversation or tool calls could not be read or stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A budget is used up, or cannot be kept.
    #[error(transparent)]
    Budget(#[from] Error),
    /// An item of the conversation, or a new one, is not the JSON that it should be.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl From<AgentError> for DriverError {
    fn from(error: AgentError) -> Self {
        match error {
            AgentError::Model(error) => {
                metrics::counter!("threadline_upstream_failures_total", "code" => error.code().name()).increment(1);
                let failure = Failure { code: error.code(), message: error.public_message().to_owned() };
                Self { failure, source: error.into() }
            }
            AgentError::TurnLimit(turns) => {
                let message = format!("The assistant did not come to an answer within {turns} steps.");
                Self { failure: Failure { code: ErrorCode::UpstreamError, message }, source: error.into() }
            }
            AgentError::Store(error) => from_service_error(Error::from(error)),
            AgentError::Budget(error) => from_service_error(error),
            AgentError::Json(error) => from_service_error(error.into()),
        }
    }
}

fn from_service_error(error: Error) -> DriverError {
    let failure = Failure { code: error.public().code, message: error.public().message.clone() };
    DriverError { failure, source: error.into() }
}
