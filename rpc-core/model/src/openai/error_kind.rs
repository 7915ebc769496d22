//! Finds out what an error means, from the words of its server.
//!
//! Servers agree on HTTP statuses and on little else. Inside a stream there is no status, and the codes of errors are
//! words that each host chooses.

use regex::Regex;
use std::sync::LazyLock;

/// What an error means to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorKind {
    /// The prompt has more tokens than the model can read, and the most that it can read, if the server says so.
    ContextLength(Option<u64>),
    /// The model wrote a tool call that the server could not read.
    InvalidCall,
    /// As this HTTP status.
    Status(u16),
}

const CONTEXT_CODES: &[&str] =
    &["context_length_exceeded", "exceed_context_size", "context_window_exceeded", "prompt_too_long"];

/// Words of messages, in lower case, without underscores.
const CONTEXT_WORDS: &[&str] = &[
    "context length",
    "context size",
    "context window",
    "context limit",
    "prompt is too long",
    "prompt too long",
    "input is too long",
    "input too long",
    "input token count exceeds",
    "input token count (",
    "too many input tokens",
    "too many tokens in the prompt",
    "maximum prompt length",
    "maximum number of input tokens",
    "reduce the length of the messages",
    "reduce the length of the prompt",
    "exceeds the maximum number of tokens",
    "exceeds model's maximum",
    "prompt contains too many tokens",
    "maximum sequence length",
    "max model len",
    "tokens + max new tokens must be",
    "too large for model with",
];
/// What such a message must say too, or `length` alone would be enough.
const TOO_MUCH: &[&str] = &[
    "exceed",
    "too long",
    "too large",
    "too many",
    "larger than",
    "longer than",
    "greater than",
    "maximum",
    "reduce",
    "must be",
    "limit",
    "however",
];

const INVALID_CALL: &[&str] =
    &["tool_use_failed", "output_parse_failed", "failed to call a function", "failed to parse tool call arguments"];

/// Words of codes, and the status that means the same. The first that fits counts.
const CODES: &[(&str, u16)] = &[
    ("insufficient_quota", 402),
    ("billing", 402),
    ("payment", 402),
    ("credit", 402),
    ("rate_limit", 429),
    ("ratelimit", 429),
    ("too_many_requests", 429),
    ("toomanyrequests", 429),
    ("throttl", 429),
    ("resource_exhausted", 429),
    ("overloaded", 503),
    ("unavailable", 503),
    ("no_capacity", 503),
    ("timeout", 504),
    ("timed_out", 504),
    ("deadline_exceeded", 504),
    ("server_error", 500),
    ("servererror", 500),
    ("internal", 500),
    ("api_error", 500),
    ("upstream", 502),
    ("bad_gateway", 502),
    ("badgateway", 502),
    ("bad_request", 400),
    ("badrequest", 400),
    ("invalid", 400),
    ("validation", 400),
    ("unsupported", 400),
    ("content_filter", 400),
    ("content_policy", 400),
    ("unauthorized", 401),
    ("authentication", 401),
    ("permission", 403),
    ("forbidden", 403),
    ("not_found", 404),
    ("notfound", 404),
];

/// Words of messages of errors without a code.
const MESSAGES: &[(&str, u16)] = &[
    ("rate limit", 429),
    ("too many requests", 429),
    ("overloaded", 503),
    ("temporarily unavailable", 503),
    ("at capacity", 503),
    ("server is busy", 503),
    ("currently loading", 503),
    ("try again later", 503),
    ("please try again", 503),
    ("timed out", 504),
    ("bad gateway", 502),
    ("internal server error", 500),
    ("internal error", 500),
];

/// Returns what an error means. `status` is its HTTP status, `code` are all its codes, `message` is for people.
pub(super) fn classify(status: Option<u16>, codes: &[String], message: &str) -> ErrorKind {
    let codes: Vec<String> = codes.iter().map(|code| code.to_ascii_lowercase().replace(['-', ' ', '.'], "_")).collect();
    let message = message.to_lowercase();
    let has_code = |word: &str| codes.iter().any(|code| code.contains(word));
    let can_be_prompt = matches!(status, None | Some(200 | 400 | 413 | 422 | 500));
    if can_be_prompt && (CONTEXT_CODES.iter().any(|code| has_code(code)) || is_about_context(&message)) {
        return ErrorKind::ContextLength(context_limit(&message));
    }
    if INVALID_CALL.iter().any(|words| has_code(words) || message.contains(words)) {
        return ErrorKind::InvalidCall;
    }
    if let Some(status) = status.filter(|status| *status != 200) {
        return ErrorKind::Status(status);
    }
    let by_code = CODES.iter().find(|(word, _)| has_code(word)).map(|(_, status)| *status);
    // "400 Bad Request ..."
    let by_number = || {
        let number = message.trim_start_matches(|char: char| !char.is_ascii_digit() && !char.is_whitespace());
        let number = number.get(..3)?.parse().ok().filter(|number| (400..600).contains(number))?;
        message.starts_with(&format!("{number}")).then_some(number)
    };
    let by_words = || MESSAGES.iter().find(|(words, _)| message.contains(words)).map(|(_, status)| *status);
    ErrorKind::Status(by_code.or_else(by_number).or_else(by_words).unwrap_or(200))
}

fn is_about_context(message: &str) -> bool {
    let message = message.replace('_', " ").replace('`', "");
    CONTEXT_WORDS.iter().any(|words| message.contains(words)) && TOO_MUCH.iter().any(|words| message.contains(words))
}

/// Returns the number of tokens that the model can read, from a message in lower case.
fn context_limit(message: &str) -> Option<u64> {
    static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
        let number = r"([0-9][0-9,_]*)";
        [
            // "maximum context length is 2048 tokens", "available context size (2048 tokens)", "context window of 4096"
            format!(r"context[ _](?:length|size|window|limit)[^0-9]{{0,30}}{number}"),
            // "maximum prompt length is 131072", "maximum number of tokens allowed (1048576)", "maximum of 200000
            // tokens"
            format!(r"max(?:imum)?[^0-9]{{0,50}}{number}"),
            // "202000 tokens > 200000 maximum"
            format!(r"> ?{number} (?:tokens )?max"),
            // "`inputs` tokens + `max_new_tokens` must be <= 4096", "must be at most 32768"
            format!(r"(?:<=|at most|limit(?: is| of)?|up to) ?{number}"),
            // "too large for model with 32768 maximum context length"
            format!(r"{number}(?: tokens?)? (?:maximum )?context"),
        ]
        .iter()
        .filter_map(|pattern| Regex::new(pattern).ok())
        .collect()
    });
    let numbers = |pattern: &Regex| pattern.captures(message)?.get(1)?.as_str().replace([',', '_'], "").parse().ok();
    // "> N maximum" names the limit beyond doubt, while the others could find the number before it.
    let order = [2, 0, 1, 3, 4];
    order.iter().filter_map(|at| PATTERNS.get(*at)).filter_map(numbers).find(|limit| (64..1 << 32).contains(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_that_is_too_long_is_recognized_with_its_limit() {
        for (status, code, message, limit) in [
            (
                Some(400),
                "context_length_exceeded",
                "This model's maximum context length is 8192 tokens. However, your messages resulted in 10000 tokens.",
                Some(8192),
            ),
            (
                Some(400),
                "BadRequestError",
                "This model's maximum context length is 2048 tokens. However, you requested 2100 tokens (2000 in the messages, 100 in the completion).",
                Some(2048),
            ),
            (
                Some(400),
                "exceed_context_size_error",
                "request (8032 tokens) exceeds the available context size (2048 tokens), try increasing it",
                Some(2048),
            ),
            (Some(400), "invalid_request_error", "prompt is too long: 202000 tokens > 200000 maximum", Some(200_000)),
            (
                Some(400),
                "INVALID_ARGUMENT",
                "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                Some(1_048_576),
            ),
            (Some(400), "ValidationException", "Input is too long for requested model.", None),
            (
                Some(400),
                "3051",
                "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
                Some(32_768),
            ),
            (
                Some(422),
                "",
                "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens",
                Some(4096),
            ),
            (Some(400), "", "Please reduce the length of the messages or completion.", None),
            (
                Some(400),
                "",
                "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
                Some(131_072),
            ),
            (Some(500), "", "the input length exceeds the context length", None),
            (
                None,
                "invalid_request_error",
                "This endpoint's maximum context length is 128,000 tokens. However, you requested about 130000 tokens",
                Some(128_000),
            ),
        ] {
            let found = classify(status, &[code.to_owned()], message);
            assert_eq!(found, ErrorKind::ContextLength(limit), "{message}");
        }
    }

    #[test]
    fn codes_and_words_stand_for_a_status() {
        for (code, message, status) in [
            ("server_error", "busy", 500),
            ("rate_limit_exceeded", "", 429),
            ("server_is_overloaded", "", 503),
            ("overloaded_error", "Overloaded", 503),
            ("RESOURCE_EXHAUSTED", "", 429),
            ("InternalServerError", "", 500),
            ("BadRequestError", "400 no", 400),
            ("", "400 Bad Request: no", 400),
            ("", "503 no healthy upstream", 503),
            ("", "The engine is currently overloaded", 503),
            ("insufficient_quota", "You exceeded your current quota", 402),
            ("invalid_api_key", "", 400),
            ("", "no", 200),
            ("x", "The story of 500 ships", 200),
        ] {
            assert_eq!(classify(None, &[code.to_owned()], message), ErrorKind::Status(status), "{code} {message}");
        }
        assert_eq!(classify(Some(404), &["server_error".to_owned()], ""), ErrorKind::Status(404));
        assert_eq!(classify(Some(400), &["tool_use_failed".to_owned()], "Failed to call"), ErrorKind::InvalidCall);
        let other = "max_tokens is too large: 100000. This model supports at most 16384 completion tokens";
        assert_eq!(classify(Some(400), &[], other), ErrorKind::Status(400));
    }
}
