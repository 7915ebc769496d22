//! Types of settings: the database.

use super::{DatabaseUrl, Value};
use threadline_core::config::PreparedStatements;

/// `postgres://...`, which can contain a password.
#[derive(Debug, Clone)]
pub struct PostgresUrl(DatabaseUrl);

/// What to do with an SQLite file on a network file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkFileSystem {
    /// Do not start.
    Refuse,
    /// Use it. Locks that do not hold can destroy the file.
    Allow,
}

impl PostgresUrl {
    /// Returns the URL, including its password.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Value for PostgresUrl {
    const PLACEHOLDER: &'static str = "URL";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        DatabaseUrl::parse(text).filter(DatabaseUrl::is_postgres).map(Self)
    }

    fn expected() -> String {
        "postgres://USER:PASSWORD@HOST/DATABASE".to_owned()
    }
}

impl Value for NetworkFileSystem {
    const PLACEHOLDER: &'static str = "refuse|allow";

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "refuse" => Some(Self::Refuse),
            "allow" => Some(Self::Allow),
            _ => None,
        }
    }

    fn expected() -> String {
        "refuse or allow".to_owned()
    }
}

impl Value for PreparedStatements {
    const PLACEHOLDER: &'static str = "auto|on|off";

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "auto" => Some(Self::Auto),
            "on" | "true" | "1" => Some(Self::On),
            "off" | "false" | "0" => Some(Self::Off),
            _ => None,
        }
    }

    fn expected() -> String {
        "auto, on or off".to_owned()
    }
}
