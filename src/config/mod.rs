//! Configuration: the table of settings, and what is derived from it.
//!
//! [`Settings::TABLE`] has a row for each setting. The typed [`Settings`], the flags, `.env.example` and the README's
//! table are derived from the rows. `core.rs`, `server.rs` and `attachments.rs` turn the settings into the
//! configuration structs of the parts, and check the settings that depend on each other.
//!
//! A value is read from the first of these that has it: flag, environment, `.env` in the working directory, default.
//! White space around it is removed, and an empty value counts as not set.

mod agents_file;
mod attachments;
mod core;
mod server;
mod setting;
mod sources;
mod table;
mod telemetry;
mod text;
mod value;

pub use self::core::GEMINI_BASE_URL;
pub use self::server::{LogConfig, ServerConfig, TlsFiles};
pub use self::setting::{DefaultValue, Group, Setting};
pub use self::sources::Sources;
pub use self::table::Settings;
pub use self::telemetry::TraceConfig;
pub(crate) use self::text::doc;
pub use self::text::{config_markdown, env_example};
pub use self::value::{
    AttachmentsUrl, CoreUrl, DatabaseUrl, HttpUrl, IssuerUrl, Limit, LogFilter, LogFormat, MediaTypes, ModelUrl,
    NetworkFileSystem, Networks, Number, Origins, OtlpHeaders, OtlpProtocol, PostgresUrl, Ratio, RedisUrl, ReportUrl,
    ResourceAttributes, Synchronous, TraceSampler, Value,
};

/// Exit code for a wrong setting. It is also that of a wrong flag, since settings are flags.
pub const EXIT_USAGE: u8 = 2;

/// An invalid setting. Its message is one line, begins with the name of the variable, and contains no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {problem}")]
pub struct ConfigError {
    /// Name of the variable.
    pub variable: &'static str,
    /// The problem, and what is expected.
    pub problem: String,
}

impl ConfigError {
    /// Creates an error of `variable`.
    pub fn new(variable: &'static str, problem: impl Into<String>) -> Self {
        Self { variable, problem: problem.into() }
    }
}

#[cfg(test)]
mod tests;
