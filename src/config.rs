//! Configuration: one table of settings, and everything that is read from it.
//!
//! [`Settings::TABLE`] has a row for each setting. From the rows come the typed [`Settings`], a flag for each on the
//! command line, `.env.example` and the README's table, so a setting is added in one place. What several settings mean
//! together is worked out in `core.rs` and `server.rs`.
//!
//! A value is looked for in this order: flag, environment, `.env` in the working directory, default. Blanks around it
//! are cut off, and an empty one counts as not set.

mod attachments;
mod core;
mod server;
mod setting;
mod sources;
mod table;
mod text;
mod value;

pub use self::core::GEMINI_BASE_URL;
pub use self::server::{LogConfig, ServerConfig, TlsFiles};
pub use self::setting::{Fallback, Group, Setting};
pub use self::sources::Sources;
pub use self::table::Settings;
pub(crate) use self::text::doc;
pub use self::text::{config_markdown, env_example};
pub use self::value::{
    AttachmentsUrl, CoreUrl, DatabaseUrl, HttpUrl, Limit, LogFilter, LogFormat, MediaTypes, Networks, Number, Origins,
    RedisUrl, Synchronous, Value,
};

/// Exit code of a start that a wrong setting stopped: the same as for a wrong flag, since many settings are flags.
pub const EXIT_USAGE: u8 = 2;

/// A setting that cannot be worked with. Its text is one line, begins with the variable's name and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {problem}")]
pub struct ConfigError {
    /// Name of the variable.
    pub variable: &'static str,
    /// What is wrong and what is expected.
    pub problem: String,
}

impl ConfigError {
    /// An error of `variable`.
    pub fn new(variable: &'static str, problem: impl Into<String>) -> Self {
        Self { variable, problem: problem.into() }
    }
}

#[cfg(test)]
mod tests;
