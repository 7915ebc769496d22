//! Measures what a run uses, and what its user is charged.
//!
//! The usage of a run is what the models' servers report, and nothing else. Some report it only at the end of an
//! answer, and some never. The charge contains an estimate for those, because an answer that is cancelled just before
//! its end must not be free.

use std::sync::Arc;
use threadline_schema::runs::Usage;
use threadline_store::{Charge, ModelUse, to_signed, to_unsigned};

/// Bytes of text per token, roughly: OpenAI's rule of thumb for English.
const BYTES_PER_TOKEN: usize = 4;

/// What a model costs, in units of the currency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelPrices {
    /// Per million tokens read.
    pub input_per_million: f64,
    /// Per million tokens written.
    pub output_per_million: f64,
}

/// The model of a request.
#[derive(Debug, Clone)]
pub struct AskedModel {
    /// Name of the agent for which it is asked.
    pub agent: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// What it costs; `None` if that is not known.
    pub prices: Option<ModelPrices>,
}

/// Adds up what is used.
#[derive(Debug, Default, Clone)]
pub struct UsageMeter {
    used: Usage,
    cost_micros: i64,
    /// What each model has used, in the order in which they were first asked.
    models: Vec<ModelUse>,
    /// Index of the model that was asked last.
    asked: usize,
    /// Whether a model was used that has no price.
    has_unpriced: bool,
    request: OpenRequest,
    /// Bytes that a model had written when the process of the run died. Their request is booked with the next one,
    /// which has the same prompt.
    lost_bytes: usize,
}

/// The request to a model that is under way, as long as its server has not reported the usage.
#[derive(Debug, Default, Clone, Copy)]
struct OpenRequest {
    /// Whether it is under way.
    is_open: bool,
    bytes_read: usize,
    bytes_written: usize,
    prices: Option<ModelPrices>,
}

impl UsageMeter {
    /// Starts a request to a model, with a prompt of `prompt_bytes`.
    pub fn start_request(&mut self, prompt_bytes: usize, asked: AskedModel) {
        self.book_estimate();
        let AskedModel { agent, name, prices } = asked;
        self.asked = self.index_of(agent, name);
        let bytes_written = std::mem::take(&mut self.lost_bytes);
        if bytes_written > 0 {
            self.request = OpenRequest { is_open: true, bytes_read: prompt_bytes, bytes_written, prices };
            self.book_estimate();
        }
        self.request = OpenRequest { is_open: true, bytes_read: prompt_bytes, bytes_written: 0, prices };
    }

    /// Forgets the request, if the model has written nothing: it failed, so perhaps no model has read it.
    pub fn abandon_request(&mut self) {
        if self.request.bytes_written == 0 {
            self.request.is_open = false;
        }
    }

    /// Continues from what another process has booked. `lost_bytes` is what a model had written when that process died.
    pub(crate) fn resume(&mut self, booked: Charge, lost_bytes: usize) {
        self.include(booked);
        self.lost_bytes = lost_bytes;
    }

    /// Counts bytes that the model has written.
    pub fn add_output(&mut self, bytes: usize) {
        self.request.is_open = true;
        self.request.bytes_written = self.request.bytes_written.saturating_add(bytes);
    }

    /// Books what the server reports for the request. Replaces the estimate.
    pub fn report(&mut self, usage: Usage) {
        self.book(usage);
        self.request = OpenRequest { prices: self.request.prices, ..OpenRequest::default() };
    }

    /// Adds what was used beside the run's own requests.
    pub fn include(&mut self, charge: Charge) {
        let used = Usage {
            prompt_tokens: to_unsigned(charge.prompt_tokens),
            completion_tokens: to_unsigned(charge.completion_tokens),
        };
        self.used += used;
        match charge.cost_micros {
            Some(micros) => self.cost_micros = self.cost_micros.saturating_add(micros),
            None => self.has_unpriced |= used != Usage::default(),
        }
    }

    /// Adds what another meter has measured.
    pub fn include_meter(&mut self, other: &Self) {
        self.include(other.charge());
        for part in other.uses() {
            let index = self.index_of(part.agent.clone(), part.model.clone());
            self.add_to(index, part.prompt_tokens, part.completion_tokens, part.cost_micros);
        }
    }

    /// Returns what the user is charged so far.
    pub fn charge(&self) -> Charge {
        let mut used = self.used;
        let (mut cost, mut has_unpriced) = (self.cost_micros, self.has_unpriced);
        if let Some(estimate) = self.estimate() {
            used += estimate;
            match self.request.prices {
                Some(prices) => cost = cost.saturating_add(cost_micros(prices, estimate)),
                None => has_unpriced = true,
            }
        }
        Charge {
            prompt_tokens: to_signed(used.prompt_tokens),
            completion_tokens: to_signed(used.completion_tokens),
            cost_micros: (!has_unpriced && used != Usage::default()).then_some(cost),
        }
    }

    /// Returns how many tokens the user is charged so far, input and output.
    pub(crate) fn tokens(&self) -> u64 {
        let mut used = self.used;
        if let Some(estimate) = self.estimate() {
            used += estimate;
        }
        used.prompt_tokens.saturating_add(used.completion_tokens)
    }

    /// Returns the parts of the charge that models have used, that of the model which was asked last at the end.
    pub fn uses(&self) -> Vec<ModelUse> {
        let mut all = self.clone();
        all.book_estimate();
        let mut uses = all.models;
        if self.asked < uses.len() {
            let last = uses.remove(self.asked);
            uses.push(last);
        }
        uses
    }

    /// Books an estimate for the open request, also if the model has not written anything yet: a prompt that was read
    /// must not be free because the user cancelled early.
    fn book_estimate(&mut self) {
        if let Some(estimate) = self.estimate() {
            self.book(estimate);
        }
    }

    /// Returns what the open request has used, as far as it can be guessed.
    fn estimate(&self) -> Option<Usage> {
        let OpenRequest { is_open, bytes_read, bytes_written, .. } = self.request;
        let tokens =
            Usage { prompt_tokens: estimate_tokens(bytes_read), completion_tokens: estimate_tokens(bytes_written) };
        is_open.then_some(tokens)
    }

    fn book(&mut self, usage: Usage) {
        self.used += usage;
        let cost = match self.request.prices {
            Some(prices) => cost_micros(prices, usage),
            None => {
                self.has_unpriced = true;
                0
            }
        };
        self.cost_micros = self.cost_micros.saturating_add(cost);
        self.add_to(self.asked, to_signed(usage.prompt_tokens), to_signed(usage.completion_tokens), cost);
    }

    fn add_to(&mut self, index: usize, prompt_tokens: i64, completion_tokens: i64, cost_micros: i64) {
        let Some(of_model) = self.models.get_mut(index) else { return };
        of_model.prompt_tokens = of_model.prompt_tokens.saturating_add(prompt_tokens);
        of_model.completion_tokens = of_model.completion_tokens.saturating_add(completion_tokens);
        of_model.cost_micros = of_model.cost_micros.saturating_add(cost_micros);
    }

    /// Returns the index of a model, which is added if it is not there yet.
    fn index_of(&mut self, agent: Arc<str>, model: Arc<str>) -> usize {
        let known = self.models.iter().position(|known| known.agent == agent && known.model == model);
        known.unwrap_or_else(|| {
            self.models.push(ModelUse { agent, model, prompt_tokens: 0, completion_tokens: 0, cost_micros: 0 });
            self.models.len() - 1
        })
    }
}

fn estimate_tokens(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(u64::MAX)
}

/// Returns what tokens cost, in millionths of the currency.
pub fn cost_micros(prices: ModelPrices, usage: Usage) -> i64 {
    let read = price_micros(usage.prompt_tokens, prices.input_per_million);
    read.saturating_add(price_micros(usage.completion_tokens, prices.output_per_million))
}

/// A price per million tokens in units of the currency is a price per token in millionths of it. Rounded up: usage is
/// never free.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "token counts are far below 2^52")]
pub(crate) fn price_micros(tokens: u64, per_million: f64) -> i64 {
    (tokens as f64 * per_million).ceil() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charge(prompt_tokens: i64, completion_tokens: i64, cost_micros: Option<i64>) -> Charge {
        Charge { prompt_tokens, completion_tokens, cost_micros }
    }

    fn asked(prices: Option<ModelPrices>) -> AskedModel {
        AskedModel { agent: "a".into(), name: "m".into(), prices }
    }

    #[test]
    fn each_model_has_its_part() {
        let price = Some(ModelPrices { input_per_million: 1.0, output_per_million: 1.0 });
        let of = |name: &str| AskedModel { name: name.into(), ..asked(price) };
        let mut meter = UsageMeter::default();
        meter.start_request(400, of("one"));
        meter.add_output(8);
        meter.start_request(40, of("two"));
        meter.report(Usage { prompt_tokens: 9, completion_tokens: 3 });
        meter.start_request(40, of("one"));
        let mut title = UsageMeter::default();
        title.start_request(4, of("small"));
        meter.include_meter(&title);
        let parts = |meter: &UsageMeter| {
            let part =
                |part: ModelUse| (part.model.to_string(), part.prompt_tokens, part.completion_tokens, part.cost_micros);
            meter.uses().into_iter().map(part).collect::<Vec<_>>()
        };
        let of = |model: &str, prompt, completion, cost| (model.to_owned(), prompt, completion, cost);
        assert_eq!(parts(&meter), [of("two", 9, 3, 12), of("small", 1, 0, 1), of("one", 110, 2, 112)]);
        assert_eq!(meter.charge(), charge(120, 5, Some(125)), "the sum of the parts");
        assert!(parts(&UsageMeter::default()).is_empty());
    }

    #[test]
    fn only_unreported_usage_is_estimated() {
        let prices = Some(ModelPrices { input_per_million: 0.5, output_per_million: 2.0 });
        let mut meter = UsageMeter::default();
        assert_eq!(meter.charge(), charge(0, 0, None));
        meter.start_request(400, asked(prices));
        assert_eq!(meter.charge(), charge(100, 0, Some(50)), "the prompt was sent");
        meter.add_output(6);
        assert_eq!(meter.charge(), charge(100, 2, Some(54)));
        assert_eq!(meter.tokens(), 102, "the tokens of the charge");
        meter.report(Usage { prompt_tokens: 3, completion_tokens: 1 });
        assert_eq!(meter.charge(), charge(3, 1, Some(4)), "what is used is never free");
        meter.start_request(40, asked(prices));
        meter.add_output(4);
        meter.start_request(80, asked(prices));
        assert_eq!(meter.charge(), charge(33, 2, Some(21)), "a call that failed is charged with what it had said");
        meter.abandon_request();
        assert_eq!(meter.charge(), charge(13, 2, Some(11)), "a call that failed before it said anything is free");
    }

    #[test]
    fn a_request_of_a_dead_process_is_charged_with_the_next_one() {
        let prices = Some(ModelPrices { input_per_million: 1.0, output_per_million: 1.0 });
        let mut meter = UsageMeter::default();
        meter.resume(charge(10, 5, Some(15)), 8);
        assert_eq!(meter.charge(), charge(10, 5, Some(15)), "its prompt is not known yet");
        meter.start_request(40, asked(prices));
        assert_eq!(meter.charge(), charge(30, 7, Some(37)), "both requests have the prompt");
        meter.report(Usage { prompt_tokens: 11, completion_tokens: 3 });
        meter.start_request(40, asked(prices));
        assert_eq!(meter.charge(), charge(41, 10, Some(51)), "once");
    }

    #[test]
    fn included_charges_are_added() {
        let mut meter = UsageMeter::default();
        meter.start_request(4, asked(Some(ModelPrices { input_per_million: 1.0, output_per_million: 1.0 })));
        meter.report(Usage { prompt_tokens: 1, completion_tokens: 1 });
        meter.include(Charge { prompt_tokens: 5, completion_tokens: 2, cost_micros: Some(9) });
        meter.include(Charge::default());
        assert_eq!(meter.charge(), Charge { prompt_tokens: 6, completion_tokens: 3, cost_micros: Some(11) });
        meter.include(Charge { prompt_tokens: 1, completion_tokens: 0, cost_micros: None });
        assert_eq!(meter.charge(), Charge { prompt_tokens: 7, completion_tokens: 3, cost_micros: None });
    }

    #[test]
    fn a_model_without_a_price_leaves_the_cost_unknown() {
        let mut meter = UsageMeter::default();
        meter.start_request(4, asked(Some(ModelPrices { input_per_million: 1.0, output_per_million: 1.0 })));
        meter.report(Usage { prompt_tokens: 1, completion_tokens: 1 });
        meter.start_request(4, asked(None));
        assert_eq!(meter.charge().cost_micros, None);
        meter.add_output(4);
        assert_eq!(meter.charge(), charge(2, 2, None));
    }
}
