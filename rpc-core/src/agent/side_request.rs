//! Requests to a model beside the answer of a run: for titles and summaries.

use super::AgentServices;
use crate::model::{Model, ModelError, ModelEvent, ModelRequest};
use futures::StreamExt;
use threadline_engine::{AskedModel, UsageMeter, count_tokens};
use threadline_schema::db::types::UtcTime;
use threadline_schema::error::Chain;
use threadline_schema::ids::{ThreadId, UserId};
use threadline_schema::runs::Usage;
use threadline_store::Charge;

/// The usage of the side requests of one purpose.
#[derive(Debug, Default)]
pub(super) struct SideUsage {
    /// As the server reports it.
    usage: Usage,
    meter: UsageMeter,
}

impl SideUsage {
    /// Asks a model, and returns the text of its response: at most `max_bytes` and the rest of one token, as not every
    /// server respects the limit of tokens.
    pub(super) async fn ask(
        &mut self,
        model: &dyn Model,
        request: ModelRequest,
        asked: AskedModel,
        max_bytes: usize,
    ) -> Result<String, ModelError> {
        self.meter.start_request(request.messages.iter().map(crate::model::Message::bytes).sum(), asked);
        let mut stream = model.stream(request);
        let mut answer = String::new();
        while let Some(event) = stream.next().await {
            match event.inspect_err(|_| self.meter.abandon_request())? {
                ModelEvent::Text(delta) => {
                    self.meter.add_output(delta.len());
                    answer.push_str(&delta);
                    if answer.len() > max_bytes {
                        break;
                    }
                }
                ModelEvent::Usage(usage) => {
                    self.meter.report(usage);
                    self.usage += usage;
                }
                ModelEvent::TextWasThought => answer.clear(),
                ModelEvent::Thought(_)
                | ModelEvent::Citation(_)
                | ModelEvent::ToolCall(_)
                | ModelEvent::Finished(_) => {}
            }
        }
        Ok(answer)
    }

    /// Returns what was used, and what it is charged with.
    pub(super) fn total(self) -> (Usage, UsageMeter) {
        (self.usage, self.meter)
    }

    /// Books what was used on the day of `at`, beside the runs of that day, also on the shared budgets of these scopes.
    pub(super) async fn book(
        self,
        services: &AgentServices,
        scopes: String,
        user_id: UserId,
        thread_id: ThreadId,
        at: UtcTime,
    ) {
        let (usage, meter) = self.total();
        let charge = meter.charge();
        count_tokens(usage);
        if charge == Charge::default() {
            return;
        }
        // Once: a write that failed may have been committed, and the user must not pay twice.
        match services.store.usage_add(user_id, at, charge, meter.uses(), scopes).await {
            Ok(()) => metrics::counter!("threadline_model_cost_micros_total")
                .increment(charge.cost_micros.and_then(|cost| u64::try_from(cost).ok()).unwrap_or_default()),
            Err(error) => {
                tracing::error!(%thread_id, %user_id, error = %Chain(&error), "usage of a title or a summary could not be booked");
            }
        }
    }
}
