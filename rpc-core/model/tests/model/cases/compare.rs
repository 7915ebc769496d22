//! Compares what a case expects with what came.

use super::case::{Attempt, Expect};
use crate::response::{Response, error_kind, finish_name};
use serde_json::Value;
use std::fmt::Debug;

/// Returns how the response differs.
pub(super) fn response(expect: &Expect, response: &Response) -> Vec<String> {
    let mut failures = Vec::new();
    let mut check = |what: &str, is_right: bool, expected: &dyn Debug, found: &dyn Debug| {
        if !is_right {
            failures.push(format!("{what}: expected {expected:?}, found {found:?}"));
        }
    };
    let (text, thoughts) = (response.text(), response.thoughts.concat());
    check("text", text == expect.text, &expect.text, &text);
    check("thoughts", thoughts == expect.thoughts, &expect.thoughts, &thoughts);
    let are_calls_right = response.calls.len() == expect.calls.len()
        && response.calls.iter().zip(&expect.calls).all(|(call, expected)| {
            call.name == expected.name
                && call.arguments == expected.arguments
                && expected.id.as_ref().is_none_or(|id| *id == call.id)
                && expected.echo.as_ref().is_none_or(|echo| serde_json::from_str(echo).ok() == call.echo)
        });
    check("calls", are_calls_right, &expect.calls, &response.calls);
    let citations = response.citation_names();
    check("citations", citations == expect.citations, &expect.citations, &citations);
    let usage = response.usage.map(|usage| [usage.prompt_tokens, usage.completion_tokens]);
    check("usage", usage == expect.usage, &expect.usage, &usage);
    let finish = response.finish.map(finish_name);
    check("finish", finish == expect.finish.as_deref(), &expect.finish, &finish);
    let error = response.error.as_ref().map(error_kind);
    check("error", error == expect.error, &expect.error, &response.error);
    if let Some(part) = &expect.error_contains {
        let error = response.error.as_ref().map(ToString::to_string).unwrap_or_default();
        check("error", error.contains(part), part, &error);
    }
    failures
}

/// Returns how the requests differ.
pub(super) fn requests(attempts: &[Attempt], requests: &[String]) -> Vec<String> {
    let mut failures = Vec::new();
    if attempts.len() != requests.len() {
        failures.push(format!("requests: expected {}, found {}", attempts.len(), requests.len()));
    }
    for (number, (attempt, request)) in attempts.iter().zip(requests).enumerate() {
        let body = request.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let mut failed = |failure: String| failures.push(format!("request {}: {failure}", number + 1));
        if let Some(expected) = &attempt.request {
            match serde_json::from_str(expected) {
                Ok(expected) => {
                    if let Err(failure) = contains("", &expected, &body) {
                        failed(failure);
                    }
                }
                Err(error) => failed(format!("the expected request is not JSON: {error}")),
            }
        }
        for pointer in &attempt.absent {
            if let Some(found) = body.pointer(pointer) {
                failed(format!("{pointer}: expected nothing, found {found}"));
            }
        }
    }
    failures
}

/// Checks that `found` has everything that `expected` has. Lists must have the same length.
fn contains(at: &str, expected: &Value, found: &Value) -> Result<(), String> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => expected.iter().try_for_each(|(name, expected)| {
            let at = format!("{at}/{name}");
            match found.get(name) {
                Some(found) => contains(&at, expected, found),
                None => Err(format!("{at}: expected {expected}, found nothing")),
            }
        }),
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            let mut pairs = expected.iter().zip(found).enumerate();
            pairs.try_for_each(|(index, (expected, found))| contains(&format!("{at}/{index}"), expected, found))
        }
        _ if expected == found => Ok(()),
        _ => Err(format!("{at}: expected {expected}, found {found}")),
    }
}
