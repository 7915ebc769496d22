//! The OpenRPC document as Markdown.

use serde_json::{Map, Value};
use std::fmt::Write;
use threadline_schema::{ErrorCode, Kind, MethodInfo, rpc};

/// Returns the text of `docs/RPC.md`: the methods, types and errors of [`document`](super::document).
pub fn markdown() -> String {
    let document = super::document();
    let mut out = String::from(INTRO);
    let methods: Vec<&Value> = document.get("methods").and_then(Value::as_array).into_iter().flatten().collect();
    for method in &methods {
        line(
            &mut out,
            &format!("| [`{0}`](#{1}) | {2} |", text(method, "name"), anchor(method), text(method, "summary")),
        );
    }
    out.push_str("\n## Calls\n");
    for method in &methods {
        describe(&mut out, method);
    }
    out.push_str("\n## Types\n");
    for (name, schema) in members(document.get("components").and_then(|components| components.get("schemas"))) {
        line(&mut out, &format!("\n### {name}\n\n{}", text(schema, "description")));
        define(&mut out, schema);
    }
    out.push_str("\n## Errors\n\n| `data.code` | code | meaning |\n| --- | --- | --- |\n");
    for code in ErrorCode::ALL {
        line(&mut out, &format!("| `{code}` | {} | {} |", code.rpc_code(), code.meaning().trim()));
    }
    out
}

const INTRO: &str = "# JSON-RPC API

Generated from the method contract in `schema/src`. To change it, edit the contract and run the test that writes this
file.

JSON-RPC 2.0 over HTTP POST and WebSocket, at `/` and `/rpc`. Params are by name. Send the token in one of three ways:

- in the header `Authorization: Bearer <token>`;
- from a browser, as the WebSocket subprotocols `bearer`, `<token>`;
- per call, in the reserved member `_meta` of the params: `{\"auth\": \"<token>\"}`. Methods do not see `_meta`.

`_meta` may also contain hints for tools: `languages`, in the format of `Accept-Language`, and `metadata`, an object of at
most 4096 bytes. `traceparent` and `tracestate`, as in W3C Trace Context, make the call part of a trace of OpenTelemetry.

An id is a string, a number or null, and comes back as it was written. A call with another id, or with a member that is there
twice, is not carried out.

Each entry of a batch is authenticated, counted and answered on its own. `rpc.discover` returns this description as an
OpenRPC document.

## Methods

| method | |
| --- | --- |
";

fn describe(out: &mut String, method: &Value) {
    let name = text(method, "name");
    line(out, &format!("\n### {name}\n\n{}\n", text(method, "description")));
    let params: Vec<&Value> = method.get("params").and_then(Value::as_array).into_iter().flatten().collect();
    if !params.is_empty() {
        line(out, "| param | type | |\n| --- | --- | --- |");
        for param in params {
            let required = if param.get("required") == Some(&Value::Bool(true)) { ", required" } else { "" };
            let kind = type_of(param.get("schema").unwrap_or(&Value::Null));
            line(
                out,
                &format!("| `{}` | {kind}{required} | {} |", text(param, "name"), cell(text(param, "description"))),
            );
        }
        out.push('\n');
    }
    let result = match rpc::find(name).map(|info: &MethodInfo| info.kind) {
        Some(Kind::Subscription { notification, unsubscribe }) => {
            let carries = type_of(method.get("x-notification").unwrap_or(&Value::Null));
            format!(
                "the id of a subscription. Each notification `{notification}` carries {carries}; `{unsubscribe}` ends it early"
            )
        }
        _ => type_of(method.pointer("/result/schema").unwrap_or(&Value::Null)),
    };
    let errors: Vec<_> = method
        .get("errors")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|error| text(error, "$ref").rsplit('/').next())
        .map(|code| format!("`{code}`"))
        .collect();
    line(out, &format!("Returns {result}. General errors: {}.", errors.join(", ")));
}

fn define(out: &mut String, schema: &Value) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        line(out, "\n| member | type | |\n| --- | --- | --- |");
        for (name, member) in properties {
            let optional = if is_required(schema, name) { "" } else { ", optional" };
            line(out, &format!("| `{name}` | {}{optional} | {} |", type_of(member), cell(text(member, "description"))));
        }
    }
    let values = schema.get("enum").and_then(Value::as_array).into_iter().flatten().map(|value| format!("`{value}`"));
    let values: Vec<String> = values.collect();
    if !values.is_empty() {
        line(out, &format!("\nOne of {}.", values.join(", ")));
    }
    for (index, variant) in variants(schema).into_iter().enumerate() {
        if index == 0 {
            line(out, "\nOne of:\n");
        }
        line(out, &format!("- {}", variant_line(variant)));
    }
}

/// Returns a variant on one line: its constant or tag, its members, and its description.
fn variant_line(variant: &Value) -> String {
    let meaning = text(variant, "description");
    if let Some(constant) = variant.get("const") {
        return format!("`{constant}`: {meaning}");
    }
    let tag = variant.pointer("/properties/type/const").map(|tag| format!("`\"type\": {tag}`"));
    let mut contents: Vec<String> = members(variant.get("properties"))
        .filter(|(name, member)| !(name.as_str() == "type" && member.get("const").is_some()))
        .map(|(name, member)| {
            let optional = if is_required(variant, name) { "" } else { ", optional" };
            format!("`{name}` ({}{optional})", type_of(member))
        })
        .collect();
    if variant.get("properties").is_none() || variant.get("allOf").is_some() {
        contents.push(type_of(variant));
    }
    let parts: Vec<String> = tag.into_iter().chain(contents).collect();
    format!("{}: {meaning}", parts.join(", "))
}

fn is_required(schema: &Value, name: &str) -> bool {
    let required = schema.get("required").and_then(Value::as_array);
    required.is_some_and(|required| required.iter().any(|entry| entry == name))
}

fn variants(schema: &Value) -> Vec<&Value> {
    let listed = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array);
    listed.into_iter().flatten().collect()
}

/// Returns the type of a schema in a few words. Omits null, because every optional member may be null.
fn type_of(schema: &Value) -> String {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let name = target.rsplit('/').next().unwrap_or_default();
        return format!("[{name}](#{})", name.to_lowercase());
    }
    let listed = schema.get("allOf").and_then(Value::as_array).into_iter().flatten().chain(variants(schema));
    let listed: Vec<String> = listed.filter(|part| text(part, "type") != "null").map(type_of).collect();
    if !listed.is_empty() {
        return listed.join(" or ");
    }
    let kinds: Vec<&str> = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect(),
        _ => vec!["any JSON"],
    };
    let names = kinds.iter().map(|kind| match (*kind, text(schema, "format")) {
        ("array", _) => format!("array of {}", type_of(schema.get("items").unwrap_or(&Value::Null))),
        ("string", "uuid") => "UUID".to_owned(),
        ("string", "date-time") => "time, RFC 3339".to_owned(),
        (kind, _) => kind.to_owned(),
    });
    names.collect::<Vec<_>>().join(" or ")
}

fn members(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the anchor that Markdown renderers create for the heading of a method.
fn anchor(method: &Value) -> String {
    text(method, "name").replace('.', "")
}

fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_type_and_error_is_described() {
        let text = markdown();
        for method in rpc::all() {
            assert!(text.contains(&format!("\n### {}\n", method.name)), "{}", method.name);
        }
        for code in ErrorCode::ALL {
            assert!(text.contains(&format!("| `{code}` |")), "{code}");
        }
        for link in text.split("](#").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            let headings = text.lines().filter_map(|line| line.strip_prefix("### "));
            let anchors: Vec<_> = headings.map(|heading| heading.to_lowercase().replace('.', "")).collect();
            assert!(anchors.iter().any(|anchor| anchor == link), "#{link} leads nowhere");
        }
    }

    #[test]
    fn types_are_readable() {
        let text = markdown();
        assert!(text.contains("| `thread_id` | UUID, required | The thread. |"), "{text}");
        assert!(text.contains("Each notification `run.event` carries [RunNotification](#runnotification); `runs.unsubscribe` ends it early"));
        assert!(text.contains("- `\"high\"`: Urgent."));
        assert!(text.contains("One of `\"normal\"`, `\"medium\"`, `\"semibold\"`, `\"bold\"`."));
        assert!(text.contains("- `\"type\": \"run.completed\"`, `run` ([Run](#run)): The run has completed."));
    }
}
