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
    "range of input length",
    "sum of prompt tokens",
    "max message tokens",
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
    "configured",
    "reached",
    "range of",
];

/// Codes and words of a single request that no pause makes acceptable. They count with every status: hosts that limit
/// the tokens per minute send them with 429.
const TOO_LARGE_CODES: &[&str] = &["tokens_limit_reached", "request_too_large"];
const TOO_LARGE_WORDS: &[&str] = &["request too large", "request body too large", "must be reduced in order to run"];

/// A prompt that is too long, in words that no list has.
const NEAR: &str = r"\b(?:tokens?|prompts?|inputs?|context)\b.{0,60}?(?:\bexceed|\btoo (?:long|many|large)\b|\bmust (?:have|be) (?:less|fewer)\b|\blimit of\b|\b(?:larger|longer) than\b|\b(?:more|greater) than (?:the )?max|\bonly (?:[0-9]|supports))|(?:\bexceed|\btoo (?:long|many|large)\b).{0,40}?\b(?:tokens?|prompts?|inputs?|context)\b";
/// What such words are about otherwise: the answer, files, tools, and limits of the account.
const NEAR_OTHER: &[&str] = &[
    "max tokens",
    "max completion",
    "max output",
    "max new",
    "completion tokens",
    "output tokens",
    "budget",
    "image",
    "audio",
    "video",
    "file",
    "tools",
    "tool ",
    "function",
    "rate limit",
    "ratelimit",
    "per min",
    "per hour",
    "per day",
    "quota",
    "credit",
    "afford",
    "balance",
    "header",
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
    ("no healthy upstream", 503),
    ("upstream connect error", 503),
    ("all slots are busy", 503),
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
    let is_too_large = !matches!(status, Some(401..=403))
        && (TOO_LARGE_CODES.iter().any(|code| has_code(code)) || TOO_LARGE_WORDS.iter().any(|w| message.contains(w)));
    let can_be_prompt = matches!(status, None | Some(200 | 400 | 413 | 422 | 424 | 429 | 500));
    let names_context = || CONTEXT_CODES.iter().any(|code| has_code(code)) || is_about_context(&message);
    let is_rate = || status == Some(429) || ["rate_limit", "quota", "credit"].iter().any(|word| has_code(word));
    let is_prompt = is_too_large || can_be_prompt && (names_context() || !is_rate() && is_near_context(&message));
    if is_prompt && !is_about_max_tokens(&message) {
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

fn is_near_context(message: &str) -> bool {
    static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(NEAR).ok());
    let message = message.replace(['_', '-', '\n'], " ").replace('`', "");
    !NEAR_OTHER.iter().any(|words| message.contains(words))
        && PATTERN.as_ref().is_some_and(|pattern| pattern.is_match(&message))
}

/// Returns whether a refusal, in lower case, is about the limit of the answer: the prompt fits, and the tokens that the
/// request asks for do not fit behind it.
pub(super) fn is_about_max_tokens(message: &str) -> bool {
    static PATTERNS: LazyLock<Option<[Regex; 3]>> = LazyLock::new(|| {
        let [too_large, input, output] = [
            "max_(?:completion_)?tokens[`'\"]? is too large",
            r"([0-9]+) (?:input tokens|in the (?:messages|prompt))",
            r"([0-9]+) (?:output tokens|in the completion|in max_tokens)",
        ]
        .map(Regex::new);
        Some([too_large.ok()?, input.ok()?, output.ok()?])
    });
    let Some([too_large, input, output]) = PATTERNS.as_ref() else { return false };
    let number = |pattern: &Regex| pattern.captures(message)?.get(1)?.as_str().parse::<u64>().ok();
    let (Some(window), Some(input)) = (context_limit(message), number(input)) else { return false };
    input < window && (too_large.is_match(message) || number(output).is_some_and(|output| output >= window))
}

/// Returns the number of tokens that the model can read, from a message in lower case.
pub(super) fn context_limit(message: &str) -> Option<u64> {
    // By how much the prompt is too long, and MiniMax's own code of such an error.
    static OTHERS: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"\bby [0-9][0-9,_]*|exceeds limit \(2013\)").ok());
    static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
        let number = "([1-9][0-9,_]*)";
        // A number by itself. One inside of a name, such as `mistral-large-2411`, is no limit.
        let alone = r#"[\s(\[=:<>"'`*~]([1-9][0-9,_]*)(?:$|[^0-9a-z]|tokens)"#;
        [
            // "202000 tokens > 200000 maximum" names the limit beyond doubt, while the others could find the number
            // before it.
            format!(r"> ?{number} (?:tokens )?max"),
            // "exceed context limit: 190000 + 20000 > 200000"
            format!(r"\+ ?[0-9]+ ?> ?{number}"),
            // "maximum context length is 2048 tokens", "available context size (2048 tokens)", "context window of 4096"
            format!(r"context[ _](?:length|size|window|limit)[^0-9]{{0,30}}?{alone}"),
            // "maximum prompt length is 131072", "maximum number of tokens allowed (1048576)", "maximum of 200000
            // tokens"
            format!(r"max(?:imum)?[^0-9]{{0,50}}?{alone}"),
            // "`inputs` tokens + `max_new_tokens` must be <= 4096", "must be at most 32768", "cannot exceed 4081"
            format!(r"(?:<=|at most|less than|not exceed|limit(?: is| of|:)?|up to) ?{number}"),
            // "input length should be [1, 30720]"
            format!(r"\[[0-9]+, ?{number}\]"),
            // "too large for model with 32768 maximum context length"
            format!(r"(?:^|[\s(]){number}(?: tokens?)? (?:maximum )?context"),
        ]
        .iter()
        .filter_map(|pattern| Regex::new(pattern).ok())
        .collect()
    });
    let message = OTHERS.as_ref().map_or(message.into(), |others| others.replace_all(message, ""));
    let numbers = |pattern: &Regex| pattern.captures(&message)?.get(1)?.as_str().replace([',', '_'], "").parse().ok();
    PATTERNS.iter().filter_map(numbers).find(|limit| (64..1 << 32).contains(limit))
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
            (
                Some(429),
                "rate_limit_exceeded",
                "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 40000. The input or output tokens must be reduced in order to run successfully.",
                Some(30_000),
            ),
            (
                None,
                "tokens",
                "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40000.",
                Some(30_000),
            ),
            (
                Some(413),
                "tokens_limit_reached",
                "Request body too large for gpt-4o model. Max size: 8000 tokens.",
                Some(8_000),
            ),
            (
                Some(400),
                "",
                "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000.",
                Some(4_081),
            ),
            (
                Some(422),
                "validation",
                "Input validation error: `inputs` must have less than 4095 tokens. Given: 5000",
                Some(4_095),
            ),
            (Some(400), "InvalidParameter", "Range of input length should be [1, 30720]", Some(30_720)),
            (Some(400), "", "Invalid request: Your request exceeded model token limit: 8192", Some(8_192)),
            (Some(400), "", "prompt token count of 130000 exceeds the limit of 128000", Some(128_000)),
            (Some(400), "", "Prompt has 5000 tokens, but the configured context size is 4096", Some(4_096)),
            (Some(400), "", "token limit exceeded", None),
            (
                Some(400),
                "",
                "the input token count is 38000 but model only supports up to 32000. Reduce the input",
                Some(32_000),
            ),
            (
                Some(400),
                "",
                "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length",
                Some(200_000),
            ),
            (
                Some(422),
                "",
                "Prompt has 10000 tokens, which is more than the maximum allowed of 8191 tokens",
                Some(8_191),
            ),
            (Some(422), "", "Prompt length 5000 is greater than max_seq_len 4096", Some(4_096)),
            (Some(400), "", "E1002 PromptTooLong: Prompt length exceeds maximum input length", None),
            (Some(400), "", "the sum of prompt tokens and max_tokens should not exceed 8192", Some(8_192)),
            (Some(400), "", "length of prompt_tokens (33000) must be less than max_seq_len (32768).", Some(32_768)),
            (Some(400), "", "prompt too long; exceeded max context length by 1200 tokens", None),
            (Some(400), "", "invalid params, context window exceeds limit (2013)", None),
            (Some(424), "", "This model's maximum context length is 8192 tokens. However, ...", Some(8_192)),
            (Some(429), "", "This model's maximum context length is 8192 tokens. However, ...", Some(8_192)),
            (Some(400), "", "Reached context length of 4096 tokens with first 4096 tokens", Some(4_096)),
            (Some(400), "", "The prompt exceeds the context window of mistral-large-2411", None),
            (Some(400), "", "Too long for the mistral-large-2411 context window", None),
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
            ("", "no healthy upstream", 503),
            ("", "upstream connect error or disconnect/reset before headers", 503),
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
    }

    #[test]
    fn other_limits_are_not_the_length_of_the_prompt() {
        for (status, message) in [
            (400, "max_tokens is too large: 100000. This model supports at most 16384 completion tokens"),
            (
                400,
                "'max_tokens' or 'max_completion_tokens' is too large: 4096. This model's maximum context length is 4096 tokens and your request has 57 input tokens",
            ),
            (
                400,
                "This model's maximum context length is 4096 tokens. However, you requested 4996 tokens (900 in the messages, 4096 in the completion).",
            ),
            (
                429,
                "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. Please try again in 2s.",
            ),
            (429, "This request would exceed your organization's rate limit of 30,000 input tokens per minute"),
            (400, "The input image exceeds 5 MB"),
            (400, "temperature: Input should be less than or equal to 2"),
            (402, "This request requires more credits. You requested up to 4096 tokens, but can only afford 100."),
        ] {
            assert_eq!(classify(Some(status), &[], message), ErrorKind::Status(status), "{message}");
        }
    }
}
