//! Dialects: what a server or a model needs or refuses, as data.
//!
//! | file | purpose |
//! | --- | --- |
//! | `settings.rs` | [`Dialect`]: the settings of one model, by name and as types |
//! | `table.rs` | [`ENTRIES`]: the servers and models that are known |
//! | `markdown.rs` | the tables of docs/MODELS.md |
//! | `overrides.rs` | [`DialectOverrides`]: what the operator sets |

mod markdown;
mod overrides;
mod settings;
mod table;

pub use markdown::markdown;
pub use overrides::DialectOverrides;
pub use settings::{
    Authentication, CallIds, CallsPerMessage, Dialect, EmptyContent, ExtraContent, MaxTokensField, PARAMETERS,
    ParallelCalls, ReasoningContent, SchemaDialect, Setting, SystemRole, ToolChoiceForm,
};
pub use table::{ENTRIES, Entry};

/// One change of a dialect: a setting and its new value. For [`Setting::Omit`], a parameter to omit as well.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Adjustment {
    /// The setting.
    pub setting: Setting,
    /// The value, as in the agents file.
    pub value: String,
}

/// The dialect of one model at one server.
#[derive(Debug, Clone)]
pub struct ModelDialect {
    /// Host of the server.
    pub host: String,
    /// Names of the entries of the table that apply.
    pub entries: Vec<&'static str>,
    /// What the table and the operator define.
    pub configured: Dialect,
    /// What was learned from refusals since the start of the process, in this order.
    pub learned: Vec<Adjustment>,
}

impl ModelDialect {
    /// Returns the dialect that is used now.
    pub fn current(&self) -> Dialect {
        let mut dialect = self.configured.clone();
        self.learned.iter().for_each(|adjustment| dialect.adjust(adjustment));
        dialect
    }
}

impl Dialect {
    /// Returns the names of the entries of the table that apply to a model.
    pub fn entries(host: &str, model: &str, overrides: Option<&DialectOverrides>) -> Vec<&'static str> {
        let base = overrides.and_then(DialectOverrides::base);
        let entries = ENTRIES.iter().filter(|entry| match base {
            Some(base) => entry.name == base.name,
            None => entry.fits(host, model),
        });
        entries.map(|entry| entry.name).collect()
    }

    /// Returns the dialect of a model: the entries of the table that fit, then what the operator has set.
    ///
    /// `host` is `HOST` or `HOST:PORT`.
    pub fn resolve(host: &str, model: &str, overrides: Option<&DialectOverrides>) -> Self {
        let mut dialect = Self::default();
        let names = Self::entries(host, model, overrides);
        let entries = ENTRIES.iter().filter(|entry| names.contains(&entry.name));
        for (setting, value) in entries.flat_map(|entry| entry.settings) {
            // A test checks that each value of the table is valid.
            let _ = dialect.set(*setting, value);
        }
        for (setting, value) in overrides.into_iter().flat_map(DialectOverrides::settings) {
            let _ = dialect.set(setting, value);
        }
        dialect
    }

    /// Applies an adjustment.
    pub fn adjust(&mut self, adjustment: &Adjustment) {
        let Adjustment { setting, value } = adjustment;
        if *setting == Setting::Omit {
            self.omit.insert(value.clone());
        } else {
            // Adjustments are made by this crate, with valid values.
            let _ = self.set(*setting, value);
        }
    }

    /// Returns the settings that differ from those of another dialect, with their values here.
    pub fn differences(&self, other: &Self) -> Vec<Adjustment> {
        let all = Setting::ALL.iter().map(|setting| (*setting, self.get(*setting), other.get(*setting)));
        all.filter(|(_, value, other)| value != other)
            .map(|(setting, value, _)| Adjustment { setting, value })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_has_valid_settings() {
        for entry in ENTRIES {
            let mut dialect = Dialect::default();
            for (setting, value) in entry.settings {
                dialect.set(*setting, value).unwrap_or_else(|problem| panic!("{}: {problem}", entry.name));
            }
            assert!(
                ENTRIES.iter().filter(|other| other.name == entry.name).count() == 1,
                "{} is there twice",
                entry.name
            );
        }
    }

    #[test]
    fn every_setting_can_be_read_back() {
        let dialect = Dialect::default();
        for setting in Setting::ALL {
            let mut copy = Dialect::default();
            copy.set(*setting, &dialect.get(*setting)).unwrap_or_else(|problem| panic!("{problem}"));
            assert_eq!(copy, dialect, "{}", setting.name());
            assert_eq!(Setting::from_name(setting.name()), Some(*setting));
            let problem = copy.set(*setting, "nonsense !").unwrap_err();
            assert!(problem.contains(setting.name()), "{problem}");
        }
    }

    #[test]
    fn host_and_model_select_entries() {
        let dialect = |host: &str, model: &str| Dialect::resolve(host, model, None);
        assert_eq!(dialect("127.0.0.1:9", "test-model"), Dialect::default());
        assert_eq!(dialect("generativelanguage.googleapis.com", "m").schema, SchemaDialect::Gemini);
        assert_eq!(dialect("openrouter.ai", "google/gemini-3-pro").schema, SchemaDialect::Gemini);
        assert_eq!(dialect("x.openai.azure.com", "gpt-4o").auth, Authentication::ApiKey);
        assert_eq!(dialect("api.openai.com", "gpt-4o").max_tokens, MaxTokensField::MaxCompletionTokens);
        assert!(dialect("api.openai.com", "o3-mini").omit.contains("temperature"));
        assert!(!dialect("api.openai.com", "gpt-4o").omit.contains("temperature"));
        assert!(!dialect("api.mistral.ai", "mistral-large").stream_options);
        assert_eq!(dialect("localhost:1234", "m").tool_choice, ToolChoiceForm::Required);
        assert_eq!(dialect("bedrock-runtime.eu-west-1.amazonaws.com", "m").empty_content, EmptyContent::Absent);
    }

    #[test]
    fn overrides_win_over_the_table() {
        let overrides = DialectOverrides::parse("stream_options=true, system=developer").unwrap();
        let dialect = Dialect::resolve("api.mistral.ai", "m", Some(&overrides));
        assert!(dialect.stream_options && dialect.system == SystemRole::Developer);
        assert!(dialect.omit.contains("seed"), "the rest is the table's");
        let overrides = DialectOverrides::parse("gemini,max_tools=7").unwrap();
        let dialect = Dialect::resolve("api.mistral.ai", "m", Some(&overrides));
        assert!(dialect.stream_options && dialect.schema == SchemaDialect::Gemini && dialect.max_tools == 7);
    }
}
