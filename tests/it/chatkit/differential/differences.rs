//! The differences between the two servers.

/// Events that our server sends and the package's does not. Where a difference is expected, it must be there, and no
/// other.
pub struct Difference {
    /// How docs/CHATKIT.md describes it.
    pub says: &'static str,
    /// Events that only our server sends, as `told` names them.
    pub ours_alone: &'static [&'static str],
}

/// In every assistant message.
pub const PART_DONE: Difference = Difference {
    says: "An assistant message ends with `assistant_message.content_part.done`.",
    ours_alone: &["assistant_message.content_part.done"],
};

pub const HALF_KEPT: Difference = Difference {
    says: "When a run fails in the middle of a message, its text is kept",
    ours_alone: &["thread.item.done assistant_message"],
};

pub const OUTPUT_TOLD: Difference = Difference {
    says: "The output of a client tool is an event `thread.item.replaced`",
    ours_alone: &["thread.item.replaced client_tool_call"],
};

pub const REMOVALS_TOLD: Difference = Difference {
    says: "Items that a new answer replaces are removed with `thread.item.removed` events",
    ours_alone: &["thread.item.removed"],
};

pub const ACTION_SHOWN: Difference = Difference {
    says: "An action is shown as a workflow",
    ours_alone: &["thread.item.added workflow", "workflow.task.updated", "thread.item.done workflow"],
};

/// All of them.
pub const ALL: &[&Difference] = &[&PART_DONE, &HALF_KEPT, &OUTPUT_TOLD, &REMOVALS_TOLD, &ACTION_SHOWN];

/// How docs/CHATKIT.md describes the other differences: what `normal` and `told` ignore, and what the tests check where
/// they meet it.
pub const BESIDES: &[&str] = &[
    "Ids of threads and items are UUIDs, and times have a time zone.",
    "An assistant message and a notice have `finish_reason`",
    "A structured input that asks for the [approval](AGENTS.md#approval) of a call has `approval`.",
    "A thread always has a title",
    "When a run fails, `error` has a sentence of this server and the code `custom`",
    "A stream of the model's server that ends without a finish reason is a failure",
    "Answers to questions that were not asked, and several answers to a question that takes one, are refused",
    "An impossible request is refused with a status and a code",
];
