//! Reads the token counts of a response.

use super::json::{count, fields};
use super::unrecognized::Unrecognized;
use serde_json::value::RawValue;
use threadline_schema::runs::Usage;

/// Largest believable number of tokens of one request: a hundred times the longest context of any model. A larger one
/// counts as this, so that no sum of them overflows.
const MAX_TOKENS: u64 = 1_000_000_000;

const PROMPT: [&str; 7] = [
    "prompt_tokens",
    "input_tokens",
    "promptTokenCount",
    "prompt_token_count",
    "inputTokens",
    "prompt_eval_count",
    "promptTokens",
];
const COMPLETION: [&str; 8] = [
    "completion_tokens",
    "output_tokens",
    "candidatesTokenCount",
    "candidates_token_count",
    "outputTokens",
    "eval_count",
    "completionTokens",
    "generated_tokens",
];
const TOTAL: [&str; 4] = ["total_tokens", "totalTokenCount", "total_token_count", "totalTokens"];

/// What the server has reported so far. Some report with each chunk, and each time the whole.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct ReportedUsage {
    prompt: Option<u64>,
    completion: Option<u64>,
    total: Option<u64>,
}

impl ReportedUsage {
    /// Reads an object with counts. A later count replaces an earlier one, unless it is 0.
    pub(super) fn read(&mut self, usage: &RawValue) {
        let before = (self.prompt, self.completion, self.total);
        read_into(&mut self.prompt, usage, PROMPT);
        read_into(&mut self.completion, usage, COMPLETION);
        read_into(&mut self.total, usage, TOTAL);
        if before == (None, None, None) && (self.prompt, self.completion, self.total) == before && usage.get() != "{}" {
            Unrecognized::Usage.report();
        }
    }

    /// Returns the counts, if there are any.
    pub(super) fn get(self) -> Option<Usage> {
        let Self { prompt, completion, total } = self;
        if prompt.is_none() && completion.is_none() {
            return None;
        }
        let rest = |known: Option<u64>| total?.checked_sub(known?);
        Some(Usage {
            prompt_tokens: prompt.or_else(|| rest(completion)).unwrap_or(0),
            completion_tokens: completion.or_else(|| rest(prompt)).unwrap_or(0),
        })
    }
}

fn read_into<const N: usize>(slot: &mut Option<u64>, usage: &RawValue, names: [&str; N]) {
    let values = fields(usage, names).into_iter().flatten().flatten();
    let found = values.filter_map(count).map(|count| count.min(MAX_TOKENS)).max();
    *slot = found.filter(|count| *count > 0).or(*slot).or(found);
}
