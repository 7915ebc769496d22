//! The components that operations refer to: error responses and response headers.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use threadline_schema::ErrorCode;

/// Returns the name of the component that describes all errors of one status.
pub(super) fn error_response_name(status: u16) -> String {
    format!("Error{status}")
}

/// Groups errors by their HTTP status.
pub(super) fn by_status(codes: impl IntoIterator<Item = ErrorCode>) -> BTreeMap<u16, Vec<ErrorCode>> {
    let mut by_status: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.http_status()).or_default().push(code);
    }
    by_status
}

/// Returns one response per HTTP status of the error table.
pub(super) fn error_responses() -> Map<String, Value> {
    by_status(ErrorCode::ALL.iter().copied())
        .into_iter()
        .map(|(status, codes)| {
            let meanings: Vec<_> = codes.iter().map(|code| format!("`{code}`: {}", code.meaning().trim())).collect();
            let mut headers = json!({"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}});
            let extra = match status {
                401 => Some("WWW-Authenticate"),
                405 => Some("Allow"),
                429 | 503 => Some("Retry-After"),
                _ => None,
            };
            if let (Some(extra), Some(headers)) = (extra, headers.as_object_mut()) {
                headers.insert(extra.to_owned(), json!({"$ref": format!("#/components/headers/{extra}")}));
            }
            let response = json!({
                "description": meanings.join("\n\n"),
                "headers": headers,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            });
            (error_response_name(status), response)
        })
        .collect()
}

/// Returns the headers of responses.
pub(super) fn headers() -> Value {
    let header = |description: &str, kind: &str| json!({"description": description, "schema": {"type": kind}});
    json!({
        "X-Request-Id": header("Id of the request in the server's log: that of the client if it is valid.", "string"),
        "X-Run-Id": header("Id of the run whose events follow.", "string"),
        "Idempotency-Replayed": header(
            "`true` if the response is that of an earlier request with the same idempotency key.",
            "string"
        ),
        "X-RateLimit-Limit": header("Requests per minute.", "integer"),
        "X-RateLimit-Remaining": header("Requests that are allowed right now.", "integer"),
        "X-RateLimit-Reset": header("Seconds until all requests are allowed again.", "integer"),
        "Retry-After": header("Seconds to wait before the next try.", "integer"),
        "WWW-Authenticate": header("Always `Bearer`.", "string"),
        "Allow": header("The HTTP methods of this path.", "string"),
    })
}

/// Returns the schema of all error responses.
pub(super) fn error_schema() -> Value {
    let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
    json!({
        "type": "object",
        "required": ["success", "error"],
        "properties": {
            "success": {"const": false},
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "string", "enum": codes},
                    "message": {"type": "string", "description": "A sentence that says what to change."},
                    "retry_after": {"type": "integer", "description": "Seconds to wait before the next try."},
                    "resets_at": {
                        "type": "string",
                        "format": "date-time",
                        "description": "When a budget that is used up begins anew."
                    },
                    "docs": {"type": "string", "description": "Path of the section about this code, such as `/docs#CONFLICT`."},
                },
            },
        },
    })
}
