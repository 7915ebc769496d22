//! Measures what a run uses, and what its user is charged.
//!
//! The usage of a run is what the models' servers report, and nothing else. Some report it only at the end of an
//! answer, and some never. The charge contains an estimate for those, because an answer that is cancelled just before
//! its end must not be free.

use threadline_schema::runs::Usage;
use threadline_store::Charge;

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

/// Adds up what is used.
#[derive(Debug, Default, Clone, Copy)]
pub struct UsageMeter {
    used: Usage,
    cost_micros: i64,
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
    pub fn start_request(&mut self, prompt_bytes: usize, prices: Option<ModelPrices>) {
        self.book_estimate();
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
        let unsigned = |tokens: i64| u64::try_from(tokens).unwrap_or_default();
        let used = Usage {
            prompt_tokens: unsigned(charge.prompt_tokens),
            completion_tokens: unsigned(charge.completion_tokens),
        };
        self.used += used;
        match charge.cost_micros {
            Some(micros) => self.cost_micros = self.cost_micros.saturating_add(micros),
            None => self.has_unpriced |= used != Usage::default(),
        }
    }

    /// Returns what the user is charged so far.
    pub fn charge(mut self) -> Charge {
        self.book_estimate();
        let Usage { prompt_tokens, completion_tokens } = self.used;
        let signed = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
        Charge {
            prompt_tokens: signed(prompt_tokens),
            completion_tokens: signed(completion_tokens),
            cost_micros: (!self.has_unpriced && self.used != Usage::default()).then_some(self.cost_micros),
        }
    }

    /// Books an estimate for the open request, also if the model has not written anything yet: a prompt that was read
    /// must not be free because the user cancelled early.
    fn book_estimate(&mut self) {
        let OpenRequest { is_open, bytes_read, bytes_written, .. } = self.request;
        if is_open {
            self.book(Usage {
                prompt_tokens: estimate_tokens(bytes_read),
                completion_tokens: estimate_tokens(bytes_written),
            });
        }
    }

    fn book(&mut self, usage: Usage) {
        self.used += usage;
        match self.request.prices {
            Some(prices) => self.cost_micros = self.cost_micros.saturating_add(cost_micros(prices, usage)),
            None => self.has_unpriced = true,
        }
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

    #[test]
    fn only_unreported_usage_is_estimated() {
        let prices = Some(ModelPrices { input_per_million: 0.5, output_per_million: 2.0 });
        let mut meter = UsageMeter::default();
        assert_eq!(meter.charge(), charge(0, 0, None));
        meter.start_request(400, prices);
        assert_eq!(meter.charge(), charge(100, 0, Some(50)), "the prompt was sent");
        meter.add_output(6);
        assert_eq!(meter.charge(), charge(100, 2, Some(54)));
        meter.report(Usage { prompt_tokens: 3, completion_tokens: 1 });
        assert_eq!(meter.charge(), charge(3, 1, Some(4)), "what is used is never free");
        meter.start_request(40, prices);
        meter.add_output(4);
        meter.start_request(80, prices);
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
        meter.start_request(40, prices);
        assert_eq!(meter.charge(), charge(30, 7, Some(37)), "both requests have the prompt");
        meter.report(Usage { prompt_tokens: 11, completion_tokens: 3 });
        meter.start_request(40, prices);
        assert_eq!(meter.charge(), charge(41, 10, Some(51)), "once");
    }

    #[test]
    fn included_charges_are_added() {
        let mut meter = UsageMeter::default();
        meter.start_request(4, Some(ModelPrices { input_per_million: 1.0, output_per_million: 1.0 }));
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
        meter.start_request(4, Some(ModelPrices { input_per_million: 1.0, output_per_million: 1.0 }));
        meter.report(Usage { prompt_tokens: 1, completion_tokens: 1 });
        meter.start_request(4, None);
        assert_eq!(meter.charge().cost_micros, None);
        meter.add_output(4);
        assert_eq!(meter.charge(), charge(2, 2, None));
    }
}
