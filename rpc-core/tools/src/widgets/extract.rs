//! Takes the widget out of the result of a tool of others: an internal service or an MCP server.

use super::validate::{WidgetError, parse_widget};
use serde_json::{Value, json};
use threadline_schema::tool_result::WidgetView;

/// Maximum size of a widget and its `copy_text`, as JSON. It is stored with the thread and sent with each page of it.
pub(crate) const MAX_BYTES: usize = 64 * 1024;
/// Maximum depth of objects and lists. A component in a list of children counts as two. Parsing uses stack for each
/// level, and a worker thread has 2 MiB: this depth uses less than a fifth of it, even in a debug build.
const MAX_DEPTH: usize = 32;

/// Splits the members `widget` and `copy_text` from a result; the rest is for the model. An invalid widget is logged
/// and dropped.
pub(crate) fn extract_widget(tool: &str, mut result: Value) -> (Value, Option<WidgetView>) {
    let Some(members) = result.as_object_mut() else { return (result, None) };
    let Some(widget) = members.remove("widget") else { return (result, None) };
    let copy_text = members.remove("copy_text").and_then(|text| text.as_str().map(ToOwned::to_owned));
    let is_empty = members.is_empty();
    let rest = if is_empty { json!({"ok": true}) } else { result };
    (rest, parse(tool, &widget, copy_text))
}

fn parse(tool: &str, widget: &Value, copy_text: Option<String>) -> Option<WidgetView> {
    let log_dropped = |path: &str, reason: &str| {
        let path = if path.is_empty() { "widget".to_owned() } else { format!("widget.{path}") };
        tracing::warn!(tool, path, reason, "widget of a tool is dropped");
    };
    let bytes = widget.to_string().len() + copy_text.as_ref().map_or(0, String::len);
    if bytes > MAX_BYTES {
        log_dropped("", &format!("it has {bytes} bytes; the maximum is {MAX_BYTES}"));
        return None;
    }
    if !has_depth_within(widget, MAX_DEPTH) {
        log_dropped("", &format!("objects and lists are nested more than {MAX_DEPTH} levels deep"));
        return None;
    }
    match parse_widget(widget) {
        Ok(widget) => Some(WidgetView { widget, copy_text, is_overview: false }),
        Err(WidgetError { path, reason }) => {
            // The reason can quote the widget, which is data of the user.
            tracing::debug!(tool, path, reason, "widget is invalid");
            log_dropped(&path, if reason.starts_with("missing field") { &reason } else { "it does not fit its type" });
            None
        }
    }
}

fn has_depth_within(value: &Value, max_depth: usize) -> bool {
    match value {
        Value::Object(members) => max_depth > 0 && members.values().all(|value| has_depth_within(value, max_depth - 1)),
        Value::Array(list) => max_depth > 0 && list.iter().all(|value| has_depth_within(value, max_depth - 1)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns nested components; the innermost is at this depth.
    fn nested(depth: usize) -> Value {
        let mut widget = json!({"type": "Text", "value": "x"});
        for _ in 0..(depth - 3) / 2 {
            widget = json!({"type": "Col", "children": [widget]});
        }
        json!({"type": "Card", "children": [widget]})
    }

    #[test]
    fn the_rest_of_the_result_is_for_the_model() {
        let widget = nested(3);
        let (rest, view) = extract_widget("t", json!({"id": 7, "widget": widget, "copy_text": "x"}));
        let view = view.unwrap();
        assert_eq!((serde_json::to_value(view.widget).unwrap(), view.copy_text), (widget, Some("x".to_owned())));
        assert_eq!(rest, json!({"id": 7}));
        for (result, rest) in [
            (json!({"widget": {"type": "Card"}}), json!({"ok": true})),
            (json!({"widget": null, "id": 7, "copy_text": 7}), json!({"id": 7})),
            (json!({"copy_text": "mine"}), json!({"copy_text": "mine"})),
            (json!([{"widget": 1}]), json!([{"widget": 1}])),
        ] {
            assert_eq!(extract_widget("t", result), (rest, None));
        }
    }

    #[test]
    fn size_and_depth_of_a_widget_are_limited() {
        let view = |result: Value| extract_widget("t", result).1;
        assert!(view(json!({"widget": nested(MAX_DEPTH - 1)})).is_some());
        assert!(view(json!({"widget": nested(MAX_DEPTH + 1)})).is_none());
        let long = |bytes: usize| json!({"widget": {"type": "Card", "children": []}, "copy_text": "x".repeat(bytes)});
        assert!(view(long(MAX_BYTES - 100)).is_some());
        assert!(view(long(MAX_BYTES)).is_none());
    }
}
