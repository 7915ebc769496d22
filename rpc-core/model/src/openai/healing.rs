//! Sends a request again without what the server refuses, and remembers it.

use super::endpoint::Endpoint;
use super::outgoing::OutgoingRequest;
use super::refusal::{self, Remedy};
use crate::dialect::{Adjustment, Dialect, Setting};
use crate::{ModelError, ModelRequest};
use parking_lot::Mutex;
use secrecy::ExposeSecret;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Maximum number of changes for one request. A server that refuses more does not speak chat completions.
const MAX_ROUNDS: usize = 12;

/// What was learned of the models of one server since the start of the process.
#[derive(Default)]
pub(super) struct LearnedDialects {
    adjustments: Mutex<HashMap<String, Vec<Adjustment>>>,
    /// Tools whose absence was logged.
    left_out: Mutex<BTreeSet<String>>,
}

impl LearnedDialects {
    /// Returns what was learned of a model, in the order in which it was.
    pub(super) fn of(&self, model: &str) -> Vec<Adjustment> {
        self.adjustments.lock().get(model).cloned().unwrap_or_default()
    }

    /// Returns those adjustments that are new.
    fn remember(&self, model: &str, adjustments: &[Adjustment]) -> Vec<Adjustment> {
        let mut all = self.adjustments.lock();
        let known = all.entry(model.to_owned()).or_default();
        let mut new = Vec::new();
        for adjustment in adjustments {
            // Several values of one list belong together; of another setting, the last value counts.
            let is_same = |other: &Adjustment| {
                if adjustment.setting == Setting::Omit {
                    other == adjustment
                } else {
                    other.setting == adjustment.setting
                }
            };
            let at = known.iter().position(is_same);
            if at.and_then(|at| known.get(at)) == Some(adjustment) {
                continue;
            }
            if let Some(at) = at {
                known.remove(at);
            }
            known.push(adjustment.clone());
            new.push(adjustment.clone());
        }
        new
    }
}

/// One request, in the form that the server has not refused so far.
pub(super) struct HealingRequest<'a> {
    endpoint: &'a Endpoint,
    request: &'a ModelRequest,
    model: &'a str,
    state: Mutex<State>,
}

struct State {
    dialect: Dialect,
    outgoing: Arc<OutgoingRequest>,
    /// Dialects that were refused.
    refused: Vec<Dialect>,
    /// Changes that apply to later requests too.
    permanent: Vec<Adjustment>,
    last: Option<Change>,
}

/// The last change of a request, and what it was before.
struct Change {
    /// The words that led to it.
    message: String,
    dialect: Dialect,
    outgoing: Arc<OutgoingRequest>,
    is_permanent: bool,
}

impl<'a> HealingRequest<'a> {
    /// Builds the request in the dialect that the table, the operator and earlier refusals define.
    ///
    /// # Errors
    ///
    /// If a tool's JSON Schema cannot be serialized.
    pub(super) fn new(endpoint: &'a Endpoint, request: &'a ModelRequest) -> serde_json::Result<Self> {
        let model = request.model.as_deref().unwrap_or(&endpoint.config.model);
        let dialect = endpoint.model_dialect(model, request.dialect.as_deref()).current();
        let outgoing = Arc::new(OutgoingRequest::new(model, request, &dialect, &endpoint.tool_forms)?);
        let this = Self {
            endpoint,
            request,
            model,
            state: Mutex::new(State {
                dialect,
                outgoing: outgoing.clone(),
                refused: Vec::new(),
                permanent: Vec::new(),
                last: None,
            }),
        };
        this.log_left_out(&outgoing);
        Ok(this)
    }

    /// Returns the request as it is to be sent now.
    pub(super) fn outgoing(&self) -> Arc<OutgoingRequest> {
        self.state.lock().outgoing.clone()
    }

    pub(super) fn model(&self) -> &str {
        self.model
    }

    /// Changes the request if the error says what is refused in it. Returns whether to send it again.
    ///
    /// If the same words come again, the last change has not helped: it is taken back, unless nothing else is left to
    /// try than another change beside it.
    pub(super) fn adjust(&self, error: &ModelError) -> bool {
        let ModelError::Refused { message, .. } = error else { return false };
        let mut state = self.state.lock();
        if state.refused.len() >= MAX_ROUNDS {
            return false;
        }
        let useless = state.last.take().filter(|last| last.message == *message);
        let untried = |dialect: &Dialect, outgoing: &OutgoingRequest| {
            refusal::remedies(error, &outgoing.facts, dialect).into_iter().find_map(|remedy| {
                let mut changed = dialect.clone();
                changed.adjust(&remedy.adjustment);
                (changed != state.dialect && changed != *dialect && !state.refused.contains(&changed))
                    .then_some((remedy, changed))
            })
        };
        let instead = useless.as_ref().and_then(|last| untried(&last.dialect, &last.outgoing));
        let is_instead = instead.is_some();
        let found = instead.or_else(|| untried(&state.dialect, &state.outgoing));
        if let Some(last) = useless.filter(|_| is_instead || found.is_none()) {
            if last.is_permanent {
                state.permanent.pop();
            }
            let refused = std::mem::replace(&mut state.dialect, last.dialect);
            state.refused.push(refused);
            state.outgoing = last.outgoing;
        }
        let Some((Remedy { adjustment, is_permanent }, dialect)) = found else { return false };
        let Ok(outgoing) = OutgoingRequest::new(self.model, self.request, &dialect, &self.endpoint.tool_forms) else {
            return false;
        };
        let setting = adjustment.setting.name();
        metrics::counter!("threadline_model_dialect_adjustments_total", "setting" => setting).increment(1);
        tracing::debug!(
            request_id = %self.request.request_id, model = self.model, setting, value = %adjustment.value,
            error = %self.redacted(error), "model's server refused the request; sent again in another dialect"
        );
        if is_permanent {
            state.permanent.push(adjustment);
        }
        let before = std::mem::replace(&mut state.dialect, dialect);
        if !state.refused.contains(&before) {
            state.refused.push(before.clone());
        }
        let before_outgoing = std::mem::replace(&mut state.outgoing, Arc::new(outgoing));
        state.last =
            Some(Change { message: message.clone(), dialect: before, outgoing: before_outgoing, is_permanent });
        true
    }

    /// Remembers the changes, now that the server has accepted the request. Logs those that are new.
    pub(super) fn accepted(&self) {
        let permanent = std::mem::take(&mut self.state.lock().permanent);
        for Adjustment { setting, value } in self.endpoint.learned.remember(self.model, &permanent) {
            tracing::warn!(
                model = self.model, setting = setting.name(), %value,
                "model's server refused a request and accepted it with this setting of its dialect; the process keeps it, \
                 and `threadline doctor --model` prints it for the agents file"
            );
        }
    }

    fn redacted(&self, error: &ModelError) -> ModelError {
        super::error::redact(error.clone(), self.endpoint.config.api_key.expose_secret())
    }

    fn log_left_out(&self, outgoing: &OutgoingRequest) {
        for (tool, reason) in outgoing.calls.tools.left_out() {
            if self.endpoint.learned.left_out.lock().insert(tool.clone()) {
                tracing::warn!(%tool, model = self.model, reason, "tool is not offered to the model");
            }
        }
    }
}
