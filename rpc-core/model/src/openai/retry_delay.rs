//! Reads how long a server asks to wait from the words of its refusal, for servers that send no `Retry-After`.

use regex::Regex;
use std::sync::LazyLock;
use std::time::Duration;

/// Longest time that is read. What is longer is no time to wait for.
const MAX_SECONDS: f64 = 7.0 * 24.0 * 3600.0;

/// What stands before the time: "try again in", "retry after", "wait for", "retry-after:".
const BEFORE: &str = r"(?i)\b(?:try(?:ing)? again|retry(?:ing)?|wait)\b(?:[ -](?:in|after|for|at least|about|around|approximately|another|your request|the request))*\s*:?\s*";
/// A number with its unit.
const PART: &str = r"(?i)^(?:,|and|\s)*([0-9]+(?:\.[0-9]+)?)\s*(milliseconds?|msecs?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)(?:[^a-z]|$)";
/// A number of seconds without a unit, at the end of a sentence.
const BARE: &str = r"^([0-9]+(?:\.[0-9]+)?)\s*(?:[.,;)\n]|$)";

/// Returns the time that a message asks to wait: "Please try again in 1m12.5s", "retry after 20 seconds".
pub(super) fn delay_in_words(message: &str) -> Option<Duration> {
    static PATTERNS: LazyLock<Option<[Regex; 3]>> = LazyLock::new(|| {
        let [before, part, bare] = [BEFORE, PART, BARE].map(Regex::new);
        Some([before.ok()?, part.ok()?, bare.ok()?])
    });
    let [before, part, bare] = PATTERNS.as_ref()?;
    let mut places = before.find_iter(message).filter_map(|found| message.get(found.end()..));
    places.find_map(|text| with_units(part, text).or_else(|| seconds(bare.captures(text)?.get(1)?.as_str())))
}

/// Returns the time in a field of an error: a number of seconds, or a text such as `37s`.
pub(super) fn delay_in_field(value: &serde_json::Value) -> Option<Duration> {
    static PART_ALONE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(PART).ok());
    match value.as_str() {
        Some(text) => with_units(PART_ALONE.as_ref()?, text).or_else(|| seconds(text.trim())),
        None => to_duration(value.as_f64()?),
    }
}

fn with_units(part: &Regex, mut text: &str) -> Option<Duration> {
    let mut total = None;
    while let Some(found) = part.captures(text) {
        let (number, unit) = (found.get(1)?, found.get(2)?);
        let unit_seconds = match unit.as_str().to_ascii_lowercase().as_str() {
            unit if unit.starts_with("ms") || unit.starts_with("mil") => 0.001,
            unit if unit.starts_with('s') => 1.0,
            unit if unit.starts_with('m') => 60.0,
            unit if unit.starts_with('h') => 3_600.0,
            _ => 86_400.0,
        };
        total = Some(total.unwrap_or(0.0) + number.as_str().parse::<f64>().ok()? * unit_seconds);
        text = text.get(unit.end()..)?;
    }
    to_duration(total?)
}

fn seconds(text: &str) -> Option<Duration> {
    to_duration(text.parse().ok()?)
}

fn to_duration(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok().filter(|delay| delay.as_secs_f64() <= MAX_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_time_to_wait_is_read_from_words() {
        for (message, millis) in [
            (
                "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29000. Please try again in 12s. Visit ...",
                12_000,
            ),
            ("Please try again in 6ms.", 6),
            ("Please try again in 1m12.5s. Need more tokens?", 72_500),
            ("Requests to the API have exceeded the call rate limit. Please retry after 20 seconds.", 20_000),
            ("Quota exceeded. Please retry in 37.123s.", 37_123),
            ("Too many requests, retry after 5", 5_000),
            ("Retry-After: 3", 3_000),
            ("Wait for 2 minutes and 5 seconds before trying again.", 125_000),
            ("please wait at least 1 hour", 3_600_000),
            ("Retrying in about 1.5 sec", 1_500),
            ("Please retry your request after 7 s", 7_000),
            ("Try again in 1 h, 2 min", 3_720_000),
        ] {
            assert_eq!(delay_in_words(message), Some(Duration::from_millis(millis)), "{message}");
        }
        for message in [
            "Please try again later.",
            "Limit 30 requests per 60 seconds.",
            "retry 3 times",
            "try again in 5 business days",
            "You waited 5 s",
            "retry after 99999999999999999999999999 days",
            "",
        ] {
            assert_eq!(delay_in_words(message), None, "{message}");
        }
    }

    #[test]
    fn a_time_to_wait_is_read_from_a_field() {
        for (value, millis) in [(json!(20), 20_000), (json!(1.5), 1_500), (json!("37s"), 37_000), (json!("4"), 4_000)] {
            assert_eq!(delay_in_field(&value), Some(Duration::from_millis(millis)), "{value}");
        }
        for value in [json!(null), json!(-1), json!("soon"), json!({}), json!("")] {
            assert_eq!(delay_in_field(&value), None, "{value}");
        }
    }
}
