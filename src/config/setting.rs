//! A row of the table of settings, and how a field of the typed settings is read by it.

use super::ConfigError;
use super::value::Value;
use threadline_schema::admin::AdminSetting;

/// A row of the table: one setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Name of the environment variable.
    pub name: &'static str,
    /// Other names that are tried if the first is not set.
    pub aliases: &'static [&'static str],
    /// Variables that name a file with the value: of the name and the aliases. For secrets only.
    pub file_names: &'static [&'static str],
    /// The group in documents and on the command line.
    pub group: Group,
    /// Its documentation.
    pub doc: &'static str,
    /// The value if it is not set.
    pub default: DefaultValue,
    /// Whether its value must not be shown.
    pub secret: bool,
    /// Describes a valid value, for the phrase "is not ...".
    pub expected: fn() -> String,
    /// The placeholder of the value in `--help`.
    pub placeholder: &'static str,
    /// Whether the flag can be used without a value, which means `true`.
    pub switch: bool,
    /// Name of the flag, if it is not derived from the variable's name.
    pub flag_name: Option<&'static str>,
}

/// The default of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// A text, which is parsed like a given one.
    Text(&'static str),
    /// No value. The text describes the effect, and can be empty.
    Unset(&'static str),
}

/// A group of settings: it decides the heading in help and documents, and which commands have its flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// The database and Redis.
    Database,
    /// Tokens.
    Accounts,
    /// Attachments.
    Attachments,
    /// The model behind the assistant.
    Model,
    /// The assistant.
    Agent,
    /// Limits of users and addresses.
    Limits,
    /// The REST gateway.
    Rest,
    /// The JSON-RPC listener of the core.
    Rpc,
    /// A gateway in a separate process.
    Split,
    /// All listeners.
    Network,
    /// Log lines.
    Logging,
    /// Traces and error reports.
    Telemetry,
}

/// The type of a field of [`Settings`](super::Settings): a value, or an optional one.
pub(super) trait SettingField: Sized {
    /// The type that the text is parsed into.
    type Parsed: Value;

    /// Parses the text that was found, or the default.
    fn read(setting: &Setting, text: Option<String>) -> Result<Self, ConfigError>;
}

impl Setting {
    /// Returns the name of the flag, without the dashes.
    pub fn flag(&self) -> String {
        self.flag_name.map_or_else(|| self.name.to_ascii_lowercase().replace('_', "-"), ToOwned::to_owned)
    }

    /// Returns the trimmed text that `lookup` has under the name or an alias. An empty text counts as not set.
    pub(super) fn find(&self, lookup: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        std::iter::once(self.name)
            .chain(self.aliases.iter().copied())
            .filter_map(lookup)
            .map(|text| text.trim().to_owned())
            .find(|text| !text.is_empty())
    }

    /// Returns what operators are shown: the value in effect, unless it is secret.
    pub(super) fn shown(&self, lookup: &dyn Fn(&str) -> Option<String>) -> AdminSetting {
        let text = self.find(lookup);
        let is_set = text.is_some();
        let default = match self.default {
            DefaultValue::Text(text) => Some(text.to_owned()),
            DefaultValue::Unset(_) => None,
        };
        AdminSetting {
            name: self.name.to_owned(),
            group: self.group.title().to_owned(),
            is_set,
            is_secret: self.secret,
            value: text.or(default).filter(|_| !self.secret),
        }
    }

    fn invalid(&self, text: &str) -> ConfigError {
        let expected = (self.expected)();
        if self.secret {
            return ConfigError::new(self.name, format!("the value is not {expected}"));
        }
        // Escaped and cut, so that the message is one short line.
        let excerpt: String = text.chars().take(60).flat_map(char::escape_debug).collect();
        let more = if text.chars().nth(60).is_some() { "..." } else { "" };
        ConfigError::new(self.name, format!("\"{excerpt}{more}\" is not {expected}"))
    }
}

impl Group {
    /// All groups, in the order of the documents.
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
        Group::Telemetry,
    ];

    /// Returns the heading.
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
            Self::Split => "Gateway in a separate process",
            Self::Network => "Network",
            Self::Logging => "Logging",
            Self::Telemetry => "Traces and error reports",
        }
    }
}

impl<T: Value> SettingField for T {
    type Parsed = T;

    fn read(setting: &Setting, text: Option<String>) -> Result<Self, ConfigError> {
        let text = match (text, setting.default) {
            (Some(text), _) => text,
            (None, DefaultValue::Text(text)) => text.to_owned(),
            (None, DefaultValue::Unset(_)) => return Err(ConfigError::new(setting.name, "is not set".to_owned())),
        };
        T::parse(&text).ok_or_else(|| setting.invalid(&text))
    }
}

impl<T: Value> SettingField for Option<T> {
    type Parsed = T;

    fn read(setting: &Setting, text: Option<String>) -> Result<Self, ConfigError> {
        text.map(|text| T::parse(&text).ok_or_else(|| setting.invalid(&text))).transpose()
    }
}
