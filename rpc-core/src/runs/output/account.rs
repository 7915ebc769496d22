//! What a run's user is charged.
//!
//! A run's own usage is what the models' servers say, and nothing else. Some say it only at the end of an answer, and some
//! never: for the account there is a guess then, since an answer that is cancelled just before its end must not be free.

use crate::budget::cost;
use crate::config::ModelPrices;
use crate::store::Bill;
use threadline_schema::runs::Usage;

/// Bytes of text that make a token, about: OpenAI's rule of thumb for English.
const BYTES: usize = 4;

/// Everything that is charged so far.
#[derive(Debug, Default, Clone, Copy)]
pub(in crate::runs) struct Account {
    used: Usage,
    micros: i64,
    /// Whether a model was used that has no price.
    unpriced: bool,
    call: Call,
}

/// The call of a model that goes on, as far as nobody has said what it used.
#[derive(Debug, Default, Clone, Copy)]
struct Call {
    read: usize,
    written: usize,
    prices: Option<ModelPrices>,
}

impl Account {
    /// A call begins, with so many bytes to read.
    pub(in crate::runs) fn asks(&mut self, bytes: usize, prices: Option<ModelPrices>) {
        self.guess();
        self.call = Call { read: bytes, written: 0, prices };
    }

    /// The model has written something.
    pub(in crate::runs) fn wrote(&mut self, bytes: usize) {
        self.call.written = self.call.written.saturating_add(bytes);
    }

    /// The server says what the call used: nothing is left to guess.
    pub(in crate::runs) fn reported(&mut self, usage: Usage) {
        self.book(usage);
        self.call = Call { prices: self.call.prices, ..Call::default() };
    }

    /// Something was used beside the run's own calls, and is charged with them.
    pub(in crate::runs) fn include(&mut self, bill: Bill) {
        let unsigned = |tokens: i64| u64::try_from(tokens).unwrap_or_default();
        let used =
            Usage { prompt_tokens: unsigned(bill.prompt_tokens), completion_tokens: unsigned(bill.completion_tokens) };
        self.used += used;
        match bill.cost_micros {
            Some(micros) => self.micros = self.micros.saturating_add(micros),
            None => self.unpriced |= used != Usage::default(),
        }
    }

    /// What the run's user is charged.
    pub(in crate::runs) fn bill(mut self) -> Bill {
        self.guess();
        let Usage { prompt_tokens, completion_tokens } = self.used;
        let signed = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
        Bill {
            prompt_tokens: signed(prompt_tokens),
            completion_tokens: signed(completion_tokens),
            cost_micros: (!self.unpriced && self.used != Usage::default()).then_some(self.micros),
        }
    }

    /// Books what the call has used. One that has written nothing has used nothing: it may never have reached a model.
    fn guess(&mut self) {
        let Call { read, written, .. } = self.call;
        if written > 0 {
            self.book(Usage { prompt_tokens: tokens(read), completion_tokens: tokens(written) });
        }
    }

    fn book(&mut self, usage: Usage) {
        self.used += usage;
        match self.call.prices {
            Some(prices) => self.micros = self.micros.saturating_add(cost(prices, usage)),
            None => self.unpriced = true,
        }
    }
}

fn tokens(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(BYTES)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bill(prompt_tokens: i64, completion_tokens: i64, cost_micros: Option<i64>) -> Bill {
        Bill { prompt_tokens, completion_tokens, cost_micros }
    }

    #[test]
    fn only_what_no_server_told_is_guessed() {
        let prices = Some(ModelPrices { input_per_million: 0.5, output_per_million: 2.0 });
        let mut account = Account::default();
        assert_eq!(account.bill(), bill(0, 0, None));
        account.asks(400, prices);
        assert_eq!(account.bill(), bill(0, 0, None), "nothing has come back");
        account.wrote(6);
        assert_eq!(account.bill(), bill(100, 2, Some(54)));
        account.reported(Usage { prompt_tokens: 3, completion_tokens: 1 });
        assert_eq!(account.bill(), bill(3, 1, Some(4)), "what is used is never free");
        account.asks(40, prices);
        account.wrote(4);
        account.asks(80, prices);
        assert_eq!(account.bill(), bill(13, 2, Some(11)), "a call that failed is charged with what it had said");
    }

    #[test]
    fn what_is_included_is_charged_with_the_rest() {
        let mut account = Account::default();
        account.asks(4, Some(ModelPrices { input_per_million: 1.0, output_per_million: 1.0 }));
        account.reported(Usage { prompt_tokens: 1, completion_tokens: 1 });
        account.include(Bill { prompt_tokens: 5, completion_tokens: 2, cost_micros: Some(9) });
        account.include(Bill::default());
        assert_eq!(account.bill(), Bill { prompt_tokens: 6, completion_tokens: 3, cost_micros: Some(11) });
        account.include(Bill { prompt_tokens: 1, completion_tokens: 0, cost_micros: None });
        assert_eq!(account.bill(), Bill { prompt_tokens: 7, completion_tokens: 3, cost_micros: None });
    }

    #[test]
    fn a_model_without_a_price_leaves_the_cost_unknown() {
        let mut account = Account::default();
        account.asks(4, Some(ModelPrices { input_per_million: 1.0, output_per_million: 1.0 }));
        account.reported(Usage { prompt_tokens: 1, completion_tokens: 1 });
        account.asks(4, None);
        assert_eq!(account.bill().cost_micros, Some(2));
        account.wrote(4);
        assert_eq!(account.bill(), bill(2, 2, None));
    }
}
