//! What a row of the table of settings says, and how a place in the typed settings is filled from it.

use super::ConfigError;
use super::value::Value;

/// One setting, as data.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Name of the environment variable.
    pub name: &'static str,
    /// Further names that are looked at when the first is not set.
    pub aliases: &'static [&'static str],
    /// What it belongs to.
    pub group: Group,
    /// What it does.
    pub doc: &'static str,
    /// What stands in when it is not set.
    pub default: Fallback,
    /// Whether its text must not be shown.
    pub secret: bool,
    /// What a right value is, to stand after "is not".
    pub expected: fn() -> String,
    /// What stands for the value in `--help`.
    pub placeholder: &'static str,
    /// Whether the flag may stand alone, meaning `true`.
    pub switch: bool,
    /// Name of the flag where it is not the variable's.
    pub flag_name: Option<&'static str>,
}

/// What stands in for a setting that is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// This text, read like any other.
    Text(&'static str),
    /// Nothing; the words say what that means, and may be empty.
    Unset(&'static str),
}

/// What a setting belongs to: its heading in help and documents, and which commands take it as a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// Where conversations are kept.
    Database,
    /// Tokens.
    Accounts,
    /// Files that go with messages.
    Attachments,
    /// The model behind the assistant.
    Model,
    /// The assistant.
    Agent,
    /// What one user or address may use.
    Limits,
    /// The REST gateway.
    Rest,
    /// The JSON-RPC core's socket.
    Rpc,
    /// A gateway in a process of its own.
    Split,
    /// What every listener shares.
    Network,
    /// Log lines.
    Logging,
}

/// A place in [`Settings`](super::Settings): a value, or an optional one.
pub(super) trait Slot: Sized {
    /// What the text is read into.
    type Of: Value;

    /// Reads what was found.
    fn fill(setting: &Setting, text: Option<String>) -> Result<Self, ConfigError>;
}

impl Setting {
    /// The flag's name, without the dashes.
    pub fn flag(&self) -> String {
        self.flag_name.map_or_else(|| self.name.to_ascii_lowercase().replace('_', "-"), ToOwned::to_owned)
    }

    /// The text that `lookup` has under the name or an alias, trimmed. Empty is not set.
    pub(super) fn find(&self, lookup: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        std::iter::once(self.name)
            .chain(self.aliases.iter().copied())
            .filter_map(lookup)
            .map(|text| text.trim().to_owned())
            .find(|text| !text.is_empty())
    }

    fn wrong(&self, text: &str) -> ConfigError {
        let expected = (self.expected)();
        if self.secret {
            return ConfigError::new(self.name, format!("the value is not {expected}"));
        }
        // Escaped and cut, so that the message stays one short line whatever was in the variable.
        let shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
        let more = if text.chars().nth(60).is_some() { "..." } else { "" };
        ConfigError::new(self.name, format!("\"{shown}{more}\" is not {expected}"))
    }
}

impl Group {
    /// Every group, in the order of documents.
    pub const ALL: &'static [Group] = &[
        Group::Database,
        Group::Accounts,
        Group::Attachments,
        Group::Model,
        Group::Agent,
        Group::Limits,
        Group::Rest,
        Group::Rpc,
        Group::Split,
        Group::Network,
        Group::Logging,
    ];

    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Database => "Storage",
            Self::Accounts => "Tokens",
            Self::Attachments => "Attachments",
            Self::Model => "Model",
            Self::Agent => "Assistant",
            Self::Limits => "Limits",
            Self::Rest => "REST gateway",
            Self::Rpc => "JSON-RPC core",
            Self::Split => "Gateway in a process of its own",
            Self::Network => "Network",
            Self::Logging => "Logging",
        }
    }
}

impl<T: Value> Slot for T {
    type Of = T;

    fn fill(setting: &Setting, text: Option<String>) -> Result<Self, ConfigError> {
        let text = match (text, setting.default) {
            (Some(text), _) => text,
            (None, Fallback::Text(text)) => text.to_owned(),
            (None, Fallback::Unset(_)) => return Err(ConfigError::new(setting.name, "is not set".to_owned())),
        };
        T::parse(&text).ok_or_else(|| setting.wrong(&text))
    }
}

impl<T: Value> Slot for Option<T> {
    type Of = T;

    fn fill(setting: &Setting, text: Option<String>) -> Result<Self, ConfigError> {
        text.map(|text| T::parse(&text).ok_or_else(|| setting.wrong(&text))).transpose()
    }
}
