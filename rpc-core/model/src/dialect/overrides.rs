//! What the operator sets of a dialect.

use super::{ENTRIES, Entry, Setting};
use crate::dialect::Dialect;
use std::collections::BTreeMap;

/// Settings of a dialect that replace those of the table.
#[derive(Debug, Clone, Default)]
pub struct DialectOverrides {
    base: Option<&'static Entry>,
    settings: BTreeMap<Setting, String>,
}

impl PartialEq for DialectOverrides {
    fn eq(&self, other: &Self) -> bool {
        self.base.map(|base| base.name) == other.base.map(|base| base.name) && self.settings == other.settings
    }
}

impl Eq for DialectOverrides {}

impl DialectOverrides {
    /// The key that names an entry of the table. Its settings then replace those that host and model select.
    pub const BASE: &'static str = "base";

    /// Parses `NAME`, `KEY=VALUE,...` or `NAME,KEY=VALUE,...`. Parts of a list are separated by `+`.
    ///
    /// # Errors
    ///
    /// If a name or a value is unknown. The text says what is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut overrides = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((key, value)) => overrides.set(key.trim(), value.trim())?,
                None => overrides.set(Self::BASE, part)?,
            }
        }
        Ok(overrides)
    }

    /// Sets one key.
    ///
    /// # Errors
    ///
    /// If the key or its value is unknown. The text says what is expected.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        if key == Self::BASE {
            let entry = ENTRIES.iter().find(|entry| entry.name == value);
            self.base =
                Some(entry.ok_or_else(|| format!("there is no dialect {value:?}; there are: {}", entry_names()))?);
            return Ok(());
        }
        let setting = Setting::from_name(key);
        let setting = setting.ok_or_else(|| format!("a dialect has no {key:?}; it has: base, {}", setting_names()))?;
        Dialect::default().set(setting, value)?;
        self.settings.insert(setting, value.to_owned());
        Ok(())
    }

    /// Describes a text that [`DialectOverrides::parse`] accepts, for the phrase "is not ...".
    pub fn expected() -> String {
        format!("a dialect ({}), or KEY=VALUE,... with the keys {}", entry_names(), setting_names())
    }

    pub(super) fn base(&self) -> Option<&'static Entry> {
        self.base
    }

    pub(super) fn settings(&self) -> impl Iterator<Item = (Setting, &str)> {
        self.settings.iter().map(|(setting, value)| (*setting, value.as_str()))
    }
}

fn entry_names() -> String {
    ENTRIES.iter().map(|entry| entry.name).collect::<Vec<_>>().join(", ")
}

fn setting_names() -> String {
    Setting::ALL.iter().map(|setting| setting.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_explained() {
        for (text, words) in [
            ("mistrall", "there is no dialect \"mistrall\"; there are: openai, azure"),
            ("sistem=user", "a dialect has no \"sistem\"; it has: base, system"),
            ("system=usr", "`system` is system, developer or user"),
            ("stream_options=no", "`stream_options` is true or false"),
            ("omit=temperature+flavour", "`omit` is a list of temperature, top_p"),
            ("max_tools=0", "`max_tools` is a number from 1"),
        ] {
            let problem = DialectOverrides::parse(text).unwrap_err();
            assert!(problem.contains(words), "{text}: {problem}");
        }
        assert_eq!(DialectOverrides::parse(" , ").unwrap(), DialectOverrides::default());
    }
}
