//! What differs.

/// What ours tells and the package's server does not. Nothing else may differ where it is expected, and it has to.
pub struct Difference {
    /// What docs/CHATKIT.md says of it.
    pub says: &'static str,
    /// Events that only ours sends, as `told` gives them.
    pub ours_alone: &'static [&'static str],
}

/// In every assistant message.
pub const PART_DONE: Difference = Difference {
    says: "An assistant message ends with `assistant_message.content_part.done`.",
    ours_alone: &["assistant_message.content_part.done"],
};

pub const HALF_KEPT: Difference = Difference {
    says: "Of a run that breaks off in the middle the words are kept",
    ours_alone: &["thread.item.done assistant_message"],
};

pub const OUTPUT_TOLD: Difference = Difference {
    says: "The output of a client's tool is told as `thread.item.replaced`",
    ours_alone: &["thread.item.replaced client_tool_call"],
};

pub const REMOVALS_TOLD: Difference = Difference {
    says: "What a new answer takes the place of is told as `thread.item.removed`",
    ours_alone: &["thread.item.removed"],
};

pub const ACTION_SHOWN: Difference = Difference {
    says: "An action is shown as a workflow",
    ours_alone: &["thread.item.added workflow", "workflow.task.updated", "thread.item.done workflow"],
};

/// All of them.
pub const ALL: &[&Difference] = &[&PART_DONE, &HALF_KEPT, &OUTPUT_TOLD, &REMOVALS_TOLD, &ACTION_SHOWN];

/// What docs/CHATKIT.md says of the rest: what `normal` and `told` pass over, and what the tests name where they meet it.
pub const BESIDES: &[&str] = &[
    "Threads and items have UUIDs for ids, and times have a time zone.",
    "A thread is never without a title",
    "Of a run that fails, `error` carries a sentence of this server's and the code `custom`",
    "A stream of the model's server that ends without saying why has broken off",
    "Answers to questions that were not asked, and more than one to a question that takes one, are refused",
    "What cannot be done is refused with a status and a code",
];
