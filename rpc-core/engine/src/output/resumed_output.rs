//! The state of the run writer when this process continues a run of a dead process.

use super::run_writer::RunWriter;
use crate::wire::ToolCallBody;
use serde::{Deserialize, Serialize};
use threadline_schema::chatkit::WorkflowItem;
use threadline_schema::ids::ItemId;
use threadline_schema::runs::Usage;
use threadline_store::{Charge, to_unsigned};

/// The output of a run as its former owner left it.
#[derive(Debug, Default)]
pub(crate) struct ResumedOutput {
    /// The open workflow, with the entries of calls that have ended and of those that are made again.
    pub(crate) workflow: Option<WorkflowItem>,
    /// Calls without a result that are made again.
    pub(crate) open_calls: Vec<OpenCall>,
    /// The last message that is stored.
    pub(crate) message_id: Option<ItemId>,
    /// Visible items, in their order.
    pub(crate) shown: Vec<ItemId>,
    /// Whether the run has called a tool.
    pub(crate) has_tool_calls: bool,
    /// What the run had used when its last step was stored.
    pub(crate) used: UsedSoFar,
    /// Bytes of the unfinished text that is dropped.
    pub(crate) lost_bytes: usize,
}

/// A call without a result.
#[derive(Debug, Clone)]
pub(crate) struct OpenCall {
    pub(crate) item_id: ItemId,
    pub(crate) body: ToolCallBody,
    /// Index of its entry in the workflow, if it has one.
    pub(crate) entry: Option<usize>,
}

/// What a run has used, as it is stored with each step.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UsedSoFar {
    /// Input tokens that the models' servers have reported.
    prompt_tokens: u64,
    /// Output tokens that they have reported.
    completion_tokens: u64,
    /// Input tokens that are charged.
    charged_prompt_tokens: i64,
    /// Output tokens that are charged.
    charged_completion_tokens: i64,
    /// The cost in millionths of the currency; `None` if it is not known.
    #[serde(default)]
    cost_micros: Option<i64>,
}

impl UsedSoFar {
    pub(super) fn new(usage: Usage, charge: Charge) -> Self {
        let Usage { prompt_tokens, completion_tokens } = usage;
        Self {
            prompt_tokens,
            completion_tokens,
            charged_prompt_tokens: charge.prompt_tokens,
            charged_completion_tokens: charge.completion_tokens,
            cost_micros: charge.cost_micros,
        }
    }

    /// Reads what is stored with a run. A run without a stored step has used nothing that is known.
    pub(crate) fn read(stored: Option<&str>) -> Self {
        let read = stored.map(serde_json::from_str).transpose();
        read.inspect_err(|error| tracing::error!(%error, "what a run had used cannot be read"))
            .ok()
            .flatten()
            .unwrap_or_default()
    }

    /// Returns what the models' servers have reported.
    pub(crate) fn usage(self) -> Usage {
        Usage { prompt_tokens: self.prompt_tokens, completion_tokens: self.completion_tokens }
    }

    /// Returns how many tokens the user is charged, input and output.
    pub(crate) fn tokens(self) -> u64 {
        to_unsigned(self.charged_prompt_tokens.saturating_add(self.charged_completion_tokens))
    }

    /// Returns what the user is charged.
    pub(crate) fn charge(self) -> Charge {
        Charge {
            prompt_tokens: self.charged_prompt_tokens,
            completion_tokens: self.charged_completion_tokens,
            cost_micros: self.cost_micros,
        }
    }
}

impl RunWriter {
    /// Continues the output of the former owner.
    pub(crate) fn resume(&mut self, output: ResumedOutput) {
        let ResumedOutput { workflow, open_calls, message_id, shown, has_tool_calls, used, lost_bytes } = output;
        self.has_output = !shown.is_empty() || has_tool_calls;
        self.has_tool_calls = has_tool_calls;
        self.workflow = workflow;
        self.message_id = message_id;
        if self.replaces_answer {
            self.begun = shown;
        }
        self.calls.resume(open_calls);
        self.usage = used.usage();
        self.meter.resume(used.charge(), lost_bytes);
        self.tell_tokens();
    }

    /// Returns the calls that the former owner had begun, and that are made again: the item of each, and its body.
    /// They are the calls of the writer until the next turn, in this order.
    pub fn open_calls(&self) -> Vec<(ItemId, ToolCallBody)> {
        self.calls.open_calls()
    }

    /// Returns what the run has used so far, as it is stored with each step.
    pub(super) fn used_so_far(&self) -> Option<String> {
        let used = UsedSoFar::new(self.usage, self.meter.charge());
        // Made of numbers, which can always be serialised.
        (used != UsedSoFar::default()).then(|| serde_json::to_string(&used).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokens_of_a_stored_step_are_those_that_are_charged() {
        let reported = Usage { prompt_tokens: 7, completion_tokens: 3 };
        let charge = Charge { prompt_tokens: 20, completion_tokens: 5, cost_micros: None };
        let stored = serde_json::to_string(&UsedSoFar::new(reported, charge)).unwrap();
        assert_eq!(UsedSoFar::read(Some(&stored)).tokens(), 25);
        assert_eq!(UsedSoFar::read(None).tokens(), 0);
    }
}
