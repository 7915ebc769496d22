//! Types of settings: the log.

use super::Value;

/// Format of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Text for terminals.
    Pretty,
}

/// A level, or directives of `tracing_subscriber::EnvFilter` such as `info,threadline_core=debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// Returns the directives.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for LogFormat {
    const PLACEHOLDER: &'static str = "json|pretty";

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "pretty" => Some(Self::Pretty),
            _ => None,
        }
    }

    fn expected() -> String {
        "json or pretty".to_owned()
    }
}

impl Value for LogFilter {
    const PLACEHOLDER: &'static str = "LEVEL";

    fn parse(text: &str) -> Option<Self> {
        use tracing_subscriber::filter::{EnvFilter, LevelFilter};
        // `EnvFilter` takes a lone word for the name of a module, so a misspelt level would silently log nothing.
        let lone_words_are_levels = text
            .split(',')
            .map(str::trim)
            .filter(|directive| !directive.contains(['=', '[', ':']))
            .all(|directive| directive.parse::<LevelFilter>().is_ok());
        (lone_words_are_levels && EnvFilter::try_new(text).is_ok()).then(|| Self(text.to_owned()))
    }

    fn expected() -> String {
        "error, warn, info, debug, trace or off, nor a list such as info,threadline_core=debug".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_not_taken_for_a_module() {
        for text in ["info", "WARN", "info,threadline_core=debug", "off", "warn,threadline::http=info"] {
            assert!(LogFilter::parse(text).is_some(), "{text}");
        }
        for text in ["verbose", "info,verbose", "threadline=loud"] {
            assert!(LogFilter::parse(text).is_none(), "{text}");
        }
    }
}
