//! The types of settings: how a text is parsed, and how an error describes a valid one.

mod attachments;
mod log;
mod net;
mod storage;
mod telemetry;

pub use self::attachments::{AttachmentsUrl, MediaTypes};
pub use self::log::{LogFilter, LogFormat};
pub use self::net::{CoreUrl, DatabaseUrl, HttpUrl, IssuerUrl, ModelUrl, Networks, Origins, RedisUrl, ReportUrl};
pub use self::storage::{NetworkFileSystem, PostgresUrl};
pub use self::telemetry::{OtlpHeaders, OtlpProtocol, Ratio, ResourceAttributes, TraceSampler};

use secrecy::SecretString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;
use threadline_core::config::{DialectOverrides, Registration, TokenAlgorithm};

/// A type that the text of a setting is parsed into.
pub trait Value: Sized {
    /// Parses `text`, which is trimmed and not empty. Returns `None` if it is not what [`Value::expected`] describes.
    fn parse(text: &str) -> Option<Self>;

    /// Describes a valid value, for the phrase "is not ...".
    fn expected() -> String;

    /// The placeholder of the value in `--help`.
    const PLACEHOLDER: &'static str;

    /// Whether the flag can be used without a value, which means `true`.
    const SWITCH: bool = false;

    /// Whether the text is, or can contain, a secret.
    const SECRET: bool = false;
}

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number<const MIN: u32, const MAX: u32>(u32);

/// A limit; 0 means "no limit".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(Option<NonZeroU32>);

/// An amount of money, in millionths of the currency of the prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money(u64);

/// How SQLite waits for the disk (`PRAGMA synchronous`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronous {
    /// A power cut loses nothing that was acknowledged.
    Full,
    /// A power cut can lose the last transactions; a crash of the process cannot.
    Normal,
}

impl<const MIN: u32, const MAX: u32> Number<MIN, MAX> {
    /// Returns the number.
    pub fn get(self) -> u32 {
        self.0
    }

    /// Returns the number as a size or count in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Returns the number as seconds.
    pub fn seconds(self) -> Duration {
        Duration::from_secs(u64::from(self.0))
    }

    /// Returns the number as milliseconds.
    pub fn millis(self) -> Duration {
        Duration::from_millis(u64::from(self.0))
    }

    /// Returns the number as minutes.
    pub fn minutes(self) -> Duration {
        Duration::from_secs(60 * u64::from(self.0))
    }
}

impl Limit {
    /// Returns the limit; `None` is no limit.
    pub fn get(self) -> Option<NonZeroU32> {
        self.0
    }

    /// Returns the limit as days.
    pub fn days(self) -> Option<Duration> {
        self.0.map(|days| Duration::from_secs(86_400 * u64::from(days.get())))
    }

    /// Returns the limit as milliseconds.
    pub fn milliseconds(self) -> Option<Duration> {
        self.0.map(|milliseconds| Duration::from_millis(u64::from(milliseconds.get())))
    }
}

impl Money {
    /// Returns the amount in millionths.
    pub fn micros(self) -> u64 {
        self.0
    }
}

impl Value for SecretString {
    const PLACEHOLDER: &'static str = "SECRET";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        // A key is used in an HTTP header or an HMAC. A control character in it is a mistake when it was copied.
        (!text.chars().any(char::is_control)).then(|| text.into())
    }

    fn expected() -> String {
        "text on one line".to_owned()
    }
}

impl Value for String {
    const PLACEHOLDER: &'static str = "TEXT";

    fn parse(text: &str) -> Option<Self> {
        (!text.chars().any(char::is_control)).then(|| text.to_owned())
    }

    fn expected() -> String {
        "text on one line".to_owned()
    }
}

impl Value for PathBuf {
    const PLACEHOLDER: &'static str = "FILE";

    fn parse(text: &str) -> Option<Self> {
        (!text.contains('\0')).then(|| text.into())
    }

    fn expected() -> String {
        "a path".to_owned()
    }
}

impl Value for bool {
    const PLACEHOLDER: &'static str = "true|false";
    const SWITCH: bool = true;

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    fn expected() -> String {
        "true or false".to_owned()
    }
}

impl<const MIN: u32, const MAX: u32> Value for Number<MIN, MAX> {
    const PLACEHOLDER: &'static str = "N";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|number| (MIN..=MAX).contains(number)).map(Self)
    }

    fn expected() -> String {
        format!("a whole number from {MIN} to {MAX}")
    }
}

impl Value for Limit {
    const PLACEHOLDER: &'static str = "N";

    fn parse(text: &str) -> Option<Self> {
        // A larger limit is a mistake, and would overflow when days are converted to seconds.
        text.parse().ok().filter(|number| *number <= 1_000_000_000).map(|number| Self(NonZeroU32::new(number)))
    }

    fn expected() -> String {
        "a whole number, at most 1000000000, or 0 for no limit".to_owned()
    }
}

impl Value for Money {
    const PLACEHOLDER: &'static str = "AMOUNT";

    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > 6 {
            return None;
        }
        let micros: u64 = format!("{fraction:0<6}").parse().ok()?;
        let micros = whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(micros)?;
        // A larger amount is a mistake, and would overflow the column.
        (1..=1_000_000_000_000_000).contains(&micros).then_some(Self(micros))
    }

    fn expected() -> String {
        "an amount above 0 with at most six decimals, such as 0.50".to_owned()
    }
}

impl Value for TokenAlgorithm {
    const PLACEHOLDER: &'static str = "NAME";

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_uppercase().as_str() {
            "HS256" => Some(Self::Hs256),
            "HS384" => Some(Self::Hs384),
            "HS512" => Some(Self::Hs512),
            _ => None,
        }
    }

    fn expected() -> String {
        "HS256, HS384 or HS512".to_owned()
    }
}

impl Value for Registration {
    const PLACEHOLDER: &'static str = "open|invite|closed";

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "open" => Some(Self::Open),
            "invite" => Some(Self::Invite),
            "closed" => Some(Self::Closed),
            _ => None,
        }
    }

    fn expected() -> String {
        "open, invite or closed".to_owned()
    }
}

impl Value for Synchronous {
    const PLACEHOLDER: &'static str = "full|normal";

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "full" => Some(Self::Full),
            "normal" => Some(Self::Normal),
            _ => None,
        }
    }

    fn expected() -> String {
        "full or normal".to_owned()
    }
}

impl Value for DialectOverrides {
    const PLACEHOLDER: &'static str = "NAME,KEY=VALUE";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }

    fn expected() -> String {
        Self::expected()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_exact() {
        let micros = |text| Money::parse(text).map(Money::micros);
        assert_eq!(micros("0.5"), Some(500_000));
        assert_eq!(micros("12"), Some(12_000_000));
        assert_eq!(micros("0.000001"), Some(1));
        for wrong in ["0", "0.0", "-1", "1.", ".5", "1e3", "1,5", "0.0000001", "99999999999999999999", "1.2.3", "+1"] {
            assert_eq!(micros(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn debug_output_contains_no_password() {
        let debug = format!(
            "{:?} {:?} {:?} {:?} {:?}",
            SecretString::parse("hunter2"),
            DatabaseUrl::parse("postgres://me:hunter2@db/x"),
            HttpUrl::parse("https://me:hunter2@model/v1"),
            ModelUrl::parse("https://model/v1?key=hunter2"),
            RedisUrl::parse("redis://:hunter2@cache"),
        );
        assert!(!debug.contains("hunter2") && !debug.contains("None"), "{debug}");
    }
}
