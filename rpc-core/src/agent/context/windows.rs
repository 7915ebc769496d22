//! The context windows of models, as far as they are known.

use super::estimate::estimate_tools;
use crate::model::{ModelRequest, ToolSpec};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use threadline_model::config::ModelParameters;
use tokio::time::Instant;

/// Tokens that are left free for the answer if the request does not limit it: a quarter of the window, and at most
/// this.
const MAX_ANSWER_TOKENS: u64 = 4_096;

/// Bounds of the ratio between the tokens that a server counts and those that were estimated: from four bytes of text
/// in a token, as in English, to less than one. A server that reports anything else does not count the tokens of the
/// prompt.
const RATIO: std::ops::RangeInclusive<f64> = 0.75..=4.0;

/// Minimum number of estimated tokens of a prompt whose ratio counts. In shorter prompts, what the chat template adds
/// is too large a part.
const MIN_RATED_TOKENS: u64 = 200;

/// How long the list of models is not read again after that has failed: a server that loads its model answers soon.
const PAUSE_AFTER_FAILED_LIST: Duration = Duration::from_secs(20);

/// Maximum number of models that are remembered. A client can only choose those that the agents file allows.
const MAX_MODELS: usize = 1_000;

/// The context windows of models, as far as they are known, for the life of the process.
#[derive(Debug, Default)]
pub(crate) struct ContextWindows {
    /// Tokens of every model that nothing else is known of; from `CONTEXT_TOKENS`.
    default_tokens: Option<u64>,
    models: Mutex<HashMap<Arc<str>, Window>>,
    listing: Mutex<Listing>,
}

/// Whether the server's list of models was read.
#[derive(Debug, Clone, Copy, Default)]
enum Listing {
    #[default]
    NotYet,
    /// It is being read, or was read.
    Started,
    FailedAt(Instant),
}

/// What was learned of one model.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    /// Tokens as the server's list of models says.
    listed: Option<u64>,
    /// Tokens as a refusal said.
    refused: Option<u64>,
    /// Maximum number of estimated tokens of a prompt, after the refusal of a longer one.
    longest: Option<u64>,
    /// Tokens that the server counts for each estimated one.
    ratio: Option<f64>,
}

impl ContextWindows {
    pub(crate) fn new(default_tokens: Option<u64>) -> Self {
        Self { default_tokens, ..Self::default() }
    }

    /// Returns whether the caller should read the server's list of models: it was not read, or that has failed some
    /// time ago.
    pub(in crate::agent) fn start_listing(&self) -> bool {
        let mut listing = self.listing.lock();
        let is_due = match *listing {
            Listing::NotYet => true,
            Listing::Started => false,
            Listing::FailedAt(at) => at.elapsed() >= PAUSE_AFTER_FAILED_LIST,
        };
        if is_due {
            *listing = Listing::Started;
        }
        is_due
    }

    /// Records that the server's list of models could not be read.
    pub(in crate::agent) fn listing_failed(&self) {
        *self.listing.lock() = Listing::FailedAt(Instant::now());
    }

    /// Records the size of the window from the server's list of models.
    pub(crate) fn list(&self, models: impl IntoIterator<Item = (String, u64)>) {
        for (name, tokens) in models {
            self.change(&Arc::from(name), |window| window.listed = Some(tokens));
        }
    }

    /// Returns the most estimated tokens that the messages of a request may have; `None` if nothing is known of its
    /// model. `configured` is the size of the window as the agents file says.
    pub(in crate::agent) fn budget(&self, model: &str, configured: Option<u64>, request: &ModelRequest) -> Option<u64> {
        self.room(model, configured, request).map(|room| room.saturating_sub(estimate_tools(&request.tools)))
    }

    /// Returns the most estimated tokens that the messages and the tools of a request may have together; `None` if
    /// nothing is known of its model.
    pub(in crate::agent) fn room(&self, model: &str, configured: Option<u64>, request: &ModelRequest) -> Option<u64> {
        let window = self.window(model);
        let by_tokens = self.tokens(window, configured).map(|tokens| {
            let free = tokens.saturating_sub(answer_tokens(&request.parameters, tokens));
            scale(free, 1.0 / window.ratio.unwrap_or(1.0))
        });
        [by_tokens, window.longest].into_iter().flatten().min()
    }

    /// Returns the parameters of a request whose messages have `estimated` tokens: no answer is asked for that is
    /// longer than what the prompt leaves of the window. Some servers refuse a request that may need more than their
    /// window.
    pub(in crate::agent) fn parameters_for(
        &self,
        model: &str,
        configured: Option<u64>,
        request: &ModelRequest,
        estimated: u64,
    ) -> Arc<ModelParameters> {
        let parameters = &request.parameters;
        let window = self.window(model);
        let Some(tokens) = self.tokens(window, configured) else { return parameters.clone() };
        let prompt = scale(estimated + estimate_tools(&request.tools), window.ratio.unwrap_or(1.0));
        // Its share of the window is left for the answer, even if the estimate says that there is less.
        let left = tokens.saturating_sub(prompt).max(answer_tokens(parameters, tokens));
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        let ModelParameters { max_tokens, max_completion_tokens, .. } = **parameters;
        if max_tokens.max(max_completion_tokens).is_none_or(|limit| limit <= left) {
            return parameters.clone();
        }
        Arc::new(ModelParameters {
            max_tokens: max_tokens.map(|limit| limit.min(left)),
            max_completion_tokens: max_completion_tokens.map(|limit| limit.min(left)),
            ..ModelParameters::clone(parameters)
        })
    }

    fn window(&self, model: &str) -> Window {
        self.models.lock().get(model).copied().unwrap_or_default()
    }

    /// Returns the size of a window, if it is known.
    fn tokens(&self, window: Window, configured: Option<u64>) -> Option<u64> {
        match configured.or(self.default_tokens) {
            // A server that names a smaller window is right.
            Some(tokens) => Some(window.refused.map_or(tokens, |refused| refused.min(tokens))),
            None => [window.listed, window.refused].into_iter().flatten().min(),
        }
    }

    /// Records the size of the window as a refusal has named it.
    pub(in crate::agent) fn name_limit(&self, model: &Arc<str>, limit: u64) {
        self.change(model, |window| window.refused = Some(window.refused.map_or(limit, |known| known.min(limit))));
    }

    /// Records that the server refused a prompt of `estimated` tokens, tools not included. `limit` is the size of the
    /// window, if the server has named it.
    pub(in crate::agent) fn refuse(&self, model: &Arc<str>, tools: &[ToolSpec], estimated: u64, limit: Option<u64>) {
        let estimated = estimated + estimate_tools(tools);
        self.change(model, |window| {
            window.refused = [window.refused, limit].into_iter().flatten().min();
            // Shorter in any case: the estimate may be wrong, and so may the limit that the server names.
            // Of the refused prompt alone: refusals of prompts that were on their way together say it only once.
            let shorter = estimated / 3 * 2;
            window.longest = Some(window.longest.map_or(shorter, |longest| longest.min(shorter)));
        });
    }

    /// Records how many tokens the server counted for a prompt of `estimated` tokens, tools not included.
    pub(in crate::agent) fn measure(&self, model: &Arc<str>, tools: &[ToolSpec], estimated: u64, counted: u64) {
        let estimated = estimated + estimate_tools(tools);
        if estimated < MIN_RATED_TOKENS || counted == 0 {
            return;
        }
        #[allow(clippy::cast_precision_loss, reason = "a ratio")]
        let ratio = (counted as f64 / estimated as f64).clamp(*RATIO.start(), *RATIO.end());
        self.change(model, |window| {
            // At once to the safe side, and slowly to the other.
            window.ratio = Some(match window.ratio {
                Some(known) if known > ratio => known * 0.8 + ratio * 0.2,
                _ => ratio,
            });
        });
    }

    fn change(&self, model: &Arc<str>, change: impl FnOnce(&mut Window)) {
        let mut models = self.models.lock();
        if models.len() < MAX_MODELS || models.contains_key(model) {
            change(models.entry(model.clone()).or_default());
        }
    }
}

/// Returns the tokens that the answer may need.
fn answer_tokens(parameters: &ModelParameters, window: u64) -> u64 {
    let limit = parameters.max_tokens.max(parameters.max_completion_tokens).map(u64::from);
    let free = window / 4;
    limit.map_or(free.min(MAX_ANSWER_TOKENS), |limit| limit.min(window / 2))
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate")]
fn scale(tokens: u64, factor: f64) -> u64 {
    (tokens as f64 * factor) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> Arc<str> {
        "m".into()
    }

    #[test]
    fn nothing_is_known_at_first() {
        assert_eq!(ContextWindows::new(None).budget("m", None, &ModelRequest::default()), None);
    }

    #[test]
    fn the_answer_has_its_share_of_the_window() {
        let windows = ContextWindows::new(Some(2_048));
        let request = ModelRequest::default();
        assert_eq!(windows.budget("m", None, &request), Some(1_536));
        assert_eq!(windows.budget("m", Some(100_000), &request), Some(95_904));
        let parameters = ModelParameters { max_tokens: Some(100), ..ModelParameters::default() };
        let request = ModelRequest { parameters: Arc::new(parameters), ..ModelRequest::default() };
        assert_eq!(windows.budget("m", None, &request), Some(1_948));
    }

    #[test]
    fn a_refusal_makes_prompts_shorter_each_time() {
        let windows = ContextWindows::new(None);
        let request = ModelRequest::default();
        windows.refuse(&name(), &[], 3_000, None);
        assert_eq!(windows.budget("m", None, &request), Some(2_000));
        windows.refuse(&name(), &[], 1_900, None);
        assert_eq!(windows.budget("m", None, &request), Some(1_266));
        windows.refuse(&name(), &[], 1_200, Some(1_000));
        assert_eq!(windows.budget("m", None, &request), Some(750), "the limit, less the answer");
        assert_eq!(windows.budget("m", Some(200_000), &request), Some(750), "the server knows better");
    }

    #[test]
    fn an_answer_is_not_longer_than_the_rest_of_the_window() {
        let windows = ContextWindows::new(None);
        let parameters = ModelParameters { max_tokens: Some(4_000), ..ModelParameters::default() };
        let request = ModelRequest { parameters: Arc::new(parameters), ..ModelRequest::default() };
        let asked = |configured, estimated| windows.parameters_for("m", configured, &request, estimated).max_tokens;
        assert_eq!(asked(None, 1_000), Some(4_000), "nothing is known");
        assert_eq!(asked(Some(8_000), 1_000), Some(4_000));
        assert_eq!(asked(Some(4_096), 1_000), Some(3_096));
        assert_eq!(asked(Some(4_096), 9_000), Some(2_048), "its share");
        let unlimited = windows.parameters_for("m", Some(4_096), &ModelRequest::default(), 1_000);
        assert_eq!(unlimited.max_tokens, None);
        windows.name_limit(&name(), 2_000);
        assert_eq!(asked(None, 1_000), Some(1_000));
    }

    #[test]
    fn refusals_that_come_together_count_once() {
        let windows = ContextWindows::new(None);
        for _ in 0..8 {
            windows.refuse(&name(), &[], 14_000, None);
        }
        windows.refuse(&name(), &[], 20_000, None);
        assert_eq!(windows.budget("m", None, &ModelRequest::default()), Some(9_332));
    }

    #[test]
    fn an_estimate_is_corrected_by_what_the_server_counts() {
        let windows = ContextWindows::new(Some(10_000));
        let request = ModelRequest::default();
        let free = windows.budget("m", None, &request).unwrap();
        windows.measure(&name(), &[], 1_000, 2_000);
        assert_eq!(windows.budget("m", None, &request), Some(free / 2));
        windows.measure(&name(), &[], 1_000, 7);
        let budget = windows.budget("m", None, &request).unwrap();
        assert!(budget > free / 2 && budget < free, "slowly: {budget}");
        windows.measure(&name(), &[], 100, 9_000);
        assert_eq!(windows.budget("m", None, &request), Some(budget), "too short to tell");
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_could_not_be_read_is_read_again_after_a_pause() {
        let windows = ContextWindows::new(None);
        assert!(windows.start_listing() && !windows.start_listing());
        windows.listing_failed();
        assert!(!windows.start_listing(), "not with the next prompt");
        tokio::time::advance(PAUSE_AFTER_FAILED_LIST).await;
        assert!(windows.start_listing() && !windows.start_listing());
        tokio::time::advance(PAUSE_AFTER_FAILED_LIST * 10).await;
        assert!(!windows.start_listing(), "once it is read");
    }

    #[test]
    fn the_list_of_models_is_read() {
        let windows = ContextWindows::new(None);
        windows.list([("m".to_owned(), 4_000)]);
        assert_eq!(windows.budget("m", None, &ModelRequest::default()), Some(3_000));
        assert_eq!(windows.budget("other", None, &ModelRequest::default()), None);
    }
}
