//! Reads the words with which servers say why a response ended.

use super::unrecognized::Unrecognized;

/// Why the server ended the response, before it is known whether there are tool calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResponseEnd {
    Complete,
    Length,
    ContentFilter,
    Refusal,
    /// The server failed in the middle of the response.
    Failed,
}

/// Returns what a `finish_reason` says. `None` if it says nothing: the response continues.
pub(super) fn parse(reason: &str) -> Option<ResponseEnd> {
    let word: String = reason.trim().to_ascii_lowercase().replace(['-', ' '], "_");
    // Gemini's full names: `FinishReason.STOP`, `FINISH_REASON_STOP`.
    let word = word.rsplit('.').next().unwrap_or_default();
    let word = word.strip_prefix("finish_reason_").unwrap_or(word);
    Some(match word {
        "" | "null" | "none" | "nil" | "undefined" | "unspecified" | "false" | "0" | "in_progress" | "not_finished"
        | "incomplete_chunk" | "streaming" | "generating" | "running" | "continue" => return None,
        "stop" | "stopped" | "end" | "ended" | "end_turn" | "eos" | "eos_token" | "eos_found" | "stop_sequence"
        | "stop_token" | "stop_str" | "complete" | "completed" | "complete_response" | "finished" | "finish"
        | "done" | "success" | "succeeded" | "normal" | "true" | "tool_calls" | "tool_call" | "tool_use"
        | "function_call" | "function_calls" | "pause_turn" => ResponseEnd::Complete,
        // The model wanted to call a tool and wrote no valid call. Whether there is text decides what it is worth.
        "malformed_function_call"
        | "malformed_response"
        | "unexpected_tool_call"
        | "no_image"
        | "other"
        | "unknown" => ResponseEnd::Complete,
        "length"
        | "max_tokens"
        | "max_token"
        | "max_length"
        | "model_length"
        | "max_output_tokens"
        | "token_limit"
        | "max_completion_tokens"
        | "output_limit"
        | "context_length"
        | "context_window"
        | "incomplete"
        | "model_context_window_exceeded"
        | "truncated"
        | "limit" => ResponseEnd::Length,
        "content_filtered"
        | "safety"
        | "recitation"
        | "blocklist"
        | "blocked"
        | "prohibited_content"
        | "spii"
        | "language"
        | "image_safety"
        | "image_prohibited_content"
        | "guardrail_intervened"
        | "guardrails"
        | "sensitive"
        | "moderation"
        | "filtered"
        | "filter" => ResponseEnd::ContentFilter,
        _ if word.starts_with("content_filter") => ResponseEnd::ContentFilter,
        "refusal" | "refused" => ResponseEnd::Refusal,
        // OpenRouter, Zhipu, DeepSeek, SGLang.
        "error"
        | "network_error"
        | "server_error"
        | "insufficient_system_resource"
        | "abort"
        | "aborted"
        | "cancelled"
        | "canceled"
        | "timeout"
        | "failed" => ResponseEnd::Failed,
        // Words that no list has: a cut answer must not look complete.
        _ if has(word, &["filter", "safe", "toxic", "polic", "block", "armor", "moderat", "prohibit"]) => {
            ResponseEnd::ContentFilter
        }
        _ if has(word, &["max", "limit", "length", "truncat"]) => ResponseEnd::Length,
        _ => {
            Unrecognized::FinishReason.report_value(reason);
            return Some(ResponseEnd::Complete);
        }
    })
}

fn has(word: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| word.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_every_host() {
        for (words, expected) in [
            (&["", " ", "null", "None", "FINISH_REASON_UNSPECIFIED", "false"][..], None),
            (&["stop", "STOP", "end_turn", "eos", "tool_calls", "tool_use", "x"][..], Some(ResponseEnd::Complete)),
            (&["MALFORMED_FUNCTION_CALL", "FinishReason.STOP"][..], Some(ResponseEnd::Complete)),
            (&["length", "max_tokens", "MAX_TOKENS", "FinishReason.MAX_TOKENS"][..], Some(ResponseEnd::Length)),
            (
                &["content_filter", "content_filter: RECITATION", "SAFETY", "content-filter"][..],
                Some(ResponseEnd::ContentFilter),
            ),
            (
                &["max_output", "maximum_tokens", "maxTokens", "time_limit", "ERROR_LIMIT"][..],
                Some(ResponseEnd::Length),
            ),
            (
                &["ERROR_TOXIC", "MODEL_ARMOR", "unsafe", "content_policy_violation"][..],
                Some(ResponseEnd::ContentFilter),
            ),
            (&["refusal"][..], Some(ResponseEnd::Refusal)),
            (&["error"][..], Some(ResponseEnd::Failed)),
        ] {
            for word in words {
                assert_eq!(parse(word), expected, "{word}");
            }
        }
    }
}
