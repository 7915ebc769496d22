//! The widget in a result of somebody else's tool.

use super::Shown;
use serde_json::{Value, json};
use threadline_schema::chatkit::widget::{Misfit, WidgetRoot};

/// Bytes of a widget and its `copy_text`, as JSON. It is stored with the thread and sent with each page of it.
pub(in crate::tools) const MAX_BYTES: usize = 64 * 1024;
/// Objects and lists in each other; a component in a list of children takes two. Reading a widget takes stack for each, of
/// which a task has 2 MiB: less than a fifth of it, even in a debug build.
const MAX_DEPTH: usize = 32;

/// Takes the member `widget` out of a result, and `copy_text` with it: the model reads the rest. What is no widget is left
/// out, which the log says.
pub(in crate::tools) fn take(tool: &str, result: &mut Value) -> Option<Shown> {
    let members = result.as_object_mut()?;
    let widget = members.remove("widget")?;
    let copy_text = members.remove("copy_text").and_then(|text| text.as_str().map(ToOwned::to_owned));
    if members.is_empty() {
        *result = json!({"ok": true});
    }
    let left_out = |path: &str, why: &str| {
        let path = if path.is_empty() { "widget".to_owned() } else { format!("widget.{path}") };
        tracing::warn!(tool, path, why, "a widget of a tool is left out");
    };
    let bytes = widget.to_string().len() + copy_text.as_ref().map_or(0, String::len);
    if bytes > MAX_BYTES {
        left_out("", &format!("it has {bytes} bytes, and may have {MAX_BYTES}"));
        return None;
    }
    if !is_shallow(&widget, MAX_DEPTH) {
        left_out("", &format!("it has more than {MAX_DEPTH} objects and lists in each other"));
        return None;
    }
    match WidgetRoot::read(&widget) {
        Ok(widget) => Some(Shown { widget, copy_text, is_overview: false }),
        Err(Misfit { path, reason }) => {
            // The words can have parts of the widget in them, which are the user's business.
            tracing::debug!(tool, path, reason, "a widget does not fit");
            left_out(&path, if reason.starts_with("missing field") { &reason } else { "it does not fit its type" });
            None
        }
    }
}

fn is_shallow(value: &Value, depth: usize) -> bool {
    match value {
        Value::Object(members) => depth > 0 && members.values().all(|value| is_shallow(value, depth - 1)),
        Value::Array(list) => depth > 0 && list.iter().all(|value| is_shallow(value, depth - 1)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Components in each other, so many that the innermost ends at this depth.
    fn nested(depth: usize) -> Value {
        let mut widget = json!({"type": "Text", "value": "x"});
        for _ in 0..(depth - 3) / 2 {
            widget = json!({"type": "Col", "children": [widget]});
        }
        json!({"type": "Card", "children": [widget]})
    }

    #[test]
    fn the_model_reads_the_rest() {
        let widget = nested(3);
        let mut result = json!({"id": 7, "widget": widget, "copy_text": "x"});
        let shown = take("t", &mut result).unwrap();
        assert_eq!((serde_json::to_value(shown.widget).unwrap(), shown.copy_text), (widget, Some("x".to_owned())));
        assert_eq!(result, json!({"id": 7}));
        for (mut result, rest) in [
            (json!({"widget": {"type": "Card"}}), json!({"ok": true})),
            (json!({"widget": null, "id": 7, "copy_text": 7}), json!({"id": 7})),
            (json!({"copy_text": "mine"}), json!({"copy_text": "mine"})),
            (json!([{"widget": 1}]), json!([{"widget": 1}])),
        ] {
            assert_eq!(take("t", &mut result), None);
            assert_eq!(result, rest);
        }
    }

    #[test]
    fn a_widget_has_bounds() {
        assert!(take("t", &mut json!({"widget": nested(MAX_DEPTH - 1)})).is_some());
        assert!(take("t", &mut json!({"widget": nested(MAX_DEPTH + 1)})).is_none());
        let long = |bytes: usize| json!({"widget": {"type": "Card", "children": []}, "copy_text": "x".repeat(bytes)});
        assert!(take("t", &mut long(MAX_BYTES - 100)).is_some());
        assert!(take("t", &mut long(MAX_BYTES)).is_none());
    }
}
