//! What a setting can hold: how its text is read, and how a wrong one is explained.

mod attachments;
mod log;
mod net;

pub use self::attachments::{AttachmentsUrl, MediaTypes};
pub use self::log::{LogFilter, LogFormat};
pub use self::net::{CoreUrl, DatabaseUrl, HttpUrl, Networks, Origins, RedisUrl};

use secrecy::SecretString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;
use threadline_core::config::TokenAlgorithm;

/// A type that a setting's text is read into.
pub trait Value: Sized {
    /// Reads `text`, which is trimmed and not empty. `None` where it is not what [`Value::expected`] says.
    fn parse(text: &str) -> Option<Self>;

    /// What a right value is, to stand after "is not".
    fn expected() -> String;

    /// What stands for the value in `--help`.
    const PLACEHOLDER: &'static str;

    /// Whether the flag may stand alone, meaning `true`.
    const SWITCH: bool = false;

    /// Whether the text is, or can carry, a password.
    const SECRET: bool = false;
}

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number<const MIN: u32, const MAX: u32>(u32);

/// A number of which 0 means "no limit".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(Option<NonZeroU32>);

/// An amount of money, in millionths of some currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money(u64);

/// How SQLite waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronous {
    /// Nothing acknowledged is lost in a power cut.
    Full,
    /// A power cut may lose the last transactions; a crash of the process does not.
    Normal,
}

impl<const MIN: u32, const MAX: u32> Number<MIN, MAX> {
    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The number as a size or count of things in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// The number as seconds.
    pub fn seconds(self) -> Duration {
        Duration::from_secs(u64::from(self.0))
    }

    /// The number as milliseconds.
    pub fn millis(self) -> Duration {
        Duration::from_millis(u64::from(self.0))
    }

    /// The number as minutes.
    pub fn minutes(self) -> Duration {
        Duration::from_secs(60 * u64::from(self.0))
    }
}

impl Limit {
    /// The limit; `None` is none.
    pub fn get(self) -> Option<NonZeroU32> {
        self.0
    }

    /// The limit as days.
    pub fn days(self) -> Option<Duration> {
        self.0.map(|days| Duration::from_secs(86_400 * u64::from(days.get())))
    }

    /// The limit as milliseconds.
    pub fn milliseconds(self) -> Option<Duration> {
        self.0.map(|milliseconds| Duration::from_millis(u64::from(milliseconds.get())))
    }
}

impl Money {
    /// The amount in millionths.
    pub fn micros(self) -> u64 {
        self.0
    }
}

impl Value for SecretString {
    const PLACEHOLDER: &'static str = "SECRET";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        // A key goes into an HTTP header or an HMAC: a control character in it is a slip of the clipboard.
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
        // More than a billion is no limit anybody means, and would overflow where days become seconds.
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
        // More than a billion is no budget of a day, and would overflow where it is stored.
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
            "{:?} {:?} {:?} {:?}",
            SecretString::parse("hunter2"),
            DatabaseUrl::parse("postgres://me:hunter2@db/x"),
            HttpUrl::parse("https://me:hunter2@model/v1"),
            RedisUrl::parse("redis://:hunter2@cache"),
        );
        assert!(!debug.contains("hunter2") && !debug.contains("None"), "{debug}");
    }
}
