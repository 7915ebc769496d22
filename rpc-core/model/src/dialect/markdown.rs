//! The tables of docs/MODELS.md.

use super::{Dialect, ENTRIES, Setting};
use std::fmt::Write;

impl Setting {
    /// Says what the setting is about.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::System => {
                "where the instructions go: a `system` message, a `developer` message, or the first user message"
            }
            Self::Stream => "whether the answer is asked for in pieces; if not, it comes as one",
            Self::StreamOptions => "whether `stream_options` asks for usage; some servers send it anyway",
            Self::MaxTokens => "under which name the limit of tokens is sent",
            Self::Tools => "whether tools are sent; if not, earlier calls are sent as text",
            Self::ToolChoice => {
                "how a forced call is asked for: an object with the name, the word `required`, or not at all"
            }
            Self::ParallelToolCalls => "the parameter `parallel_tool_calls`",
            Self::CallsPerMessage => {
                "whether calls that were made at the same time share a message, or follow each other"
            }
            Self::EmptyContent => {
                "`content` beside tool calls: `null`, an empty text, absent, or the names of the tools"
            }
            Self::Images => "whether images are sent; if not, the model reads their names",
            Self::Schema => "dialect of the JSON Schema of tools",
            Self::CallIds => "ids of tool calls: nine letters and digits, or `functions.NAME:INDEX` for Kimi",
            Self::Alternate => "whether a message is added where user and assistant would not alternate",
            Self::ReasoningContent => {
                "whether a model gets its reasoning back within a turn: if it came, always, or never"
            }
            Self::ExtraContent => {
                "whether unknown fields of a call go back with it; `dummy` adds a thought signature that Gemini does not check"
            }
            Self::Omit => "parameters of the agent that are not sent, such as `[\"temperature\"]`",
            Self::DescriptionChars => "maximum characters of a tool's description; the rest is cut",
            Self::MaxTools => "maximum number of tools; the log names those that are left out",
            Self::Auth => "how the key is sent: `Authorization: Bearer`, or the header `api-key`",
        }
    }
}

/// Returns the tables of entries and settings, for docs/MODELS.md.
pub fn markdown() -> String {
    let mut text = "| name | hosts | models | differs in | why |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for entry in ENTRIES {
        let list = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let settings: Vec<String> =
            entry.settings.iter().map(|(setting, value)| format!("`{}={value}`", setting.name())).collect();
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} |",
            entry.name,
            list(entry.hosts),
            list(entry.models),
            settings.join(", "),
            entry.note
        );
    }
    text.push_str("\n| setting | values | default | meaning |\n| --- | --- | --- | --- |\n");
    let default = Dialect::default();
    for setting in Setting::ALL {
        let value = default.get(*setting);
        let value = if value.is_empty() { "none".to_owned() } else { format!("`{value}`") };
        let (name, expected, meaning) = (setting.name(), setting.expected(), setting.meaning());
        let _ = writeln!(text, "| `{name}` | {expected} | {value} | {meaning} |");
    }
    text
}
