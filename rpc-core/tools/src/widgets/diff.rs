//! Computes the updates that turn one widget into another.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::HashMap;
use threadline_schema::chatkit::ItemUpdate;
use threadline_schema::chatkit::widget::{DynamicComponent, WidgetComponent, WidgetRoot};

/// Returns the smallest updates that turn `before` into `after`; none if the widgets are equal.
///
/// Like ChatKit's own server, it sends only the new text if a `Text` or a `Markdown` with an `id` has become longer. If
/// all other changes are inside one component with an `id`, it replaces this component. Otherwise it replaces the
/// widget.
pub fn diff(before: &WidgetRoot, after: &WidgetRoot) -> Vec<ItemUpdate> {
    let replace_widget = || vec![ItemUpdate::WidgetRootUpdated { widget: Box::new(after.clone()) }];
    let (Ok(Value::Object(before)), Ok(Value::Object(after))) =
        (serde_json::to_value(before), serde_json::to_value(after))
    else {
        return replace_widget();
    };
    if before == after {
        return Vec::new();
    }
    let mut ids = IdCounts::default();
    ids.count(&before);
    ids.diff_children(&before, &after).unwrap_or_else(replace_widget)
}

/// A component as JSON. Whatever its type, its children are in `children`.
type Component = Map<String, Value>;

/// How many components of the old widget have an id. An update cannot refer to an id that occurs twice.
#[derive(Default)]
struct IdCounts<'a>(HashMap<&'a str, u32>);

impl<'a> IdCounts<'a> {
    fn count(&mut self, component: &'a Component) {
        if let Some(id) = text(component, "id") {
            *self.0.entry(id).or_default() += 1;
        }
        for child in children(component).unwrap_or_default() {
            self.count(child);
        }
    }

    /// Returns the id that both components have, if an update can refer to it.
    fn common_id(&self, before: &Component, after: &Component) -> Option<String> {
        let id = text(before, "id").filter(|id| text(after, "id") == Some(id) && self.0.get(id) == Some(&1))?;
        Some(id.to_owned())
    }

    /// Returns the updates for one component; `None` if something around it must be replaced.
    fn diff_component(&self, before: &Component, after: &Component) -> Option<Vec<ItemUpdate>> {
        if before == after {
            return Some(Vec::new());
        }
        if let Some(delta) = self.text_delta(before, after) {
            return Some(vec![delta]);
        }
        self.diff_children(before, after).or_else(|| {
            let component_id = self.common_id(before, after)?;
            // Untyped, so that the client gets the component exactly as it is stored, including members that are null.
            let component = WidgetComponent::Dynamic(DynamicComponent::deserialize(Value::Object(after.clone())).ok()?);
            Some(vec![ItemUpdate::WidgetComponentUpdated { component_id, component: Box::new(component) }])
        })
    }

    /// Returns the updates for the children, if nothing else differs, and one update or text deltas are enough.
    fn diff_children(&self, before: &Component, after: &Component) -> Option<Vec<ItemUpdate>> {
        if !differ_only_in(before, after, "children") {
            return None;
        }
        let (old, new) = (children(before)?, children(after)?);
        if old.len() != new.len() {
            return None;
        }
        let updates = old.into_iter().zip(new).map(|(before, after)| self.diff_component(before, after));
        let updates = updates.collect::<Option<Vec<_>>>()?.concat();
        let is_text_delta = |update: &ItemUpdate| matches!(update, ItemUpdate::WidgetTextDelta { .. });
        (updates.len() == 1 || updates.iter().all(is_text_delta)).then_some(updates)
    }

    /// Returns the text that was appended, if nothing else differs.
    fn text_delta(&self, before: &Component, after: &Component) -> Option<ItemUpdate> {
        let is_text = matches!(text(after, "type"), Some("Text" | "Markdown"));
        if !is_text || !differ_only_in(before, after, "value") {
            return None;
        }
        let delta = text(after, "value")?.strip_prefix(text(before, "value")?)?.to_owned();
        let done = after.get("streaming") != Some(&Value::Bool(true));
        Some(ItemUpdate::WidgetTextDelta { component_id: self.common_id(before, after)?, delta, done })
    }
}

fn text<'a>(component: &'a Component, member: &str) -> Option<&'a str> {
    component.get(member)?.as_str()
}

/// Returns the children: none, one component, or a list. `None` if `children` has another type.
fn children(component: &Component) -> Option<Vec<&Component>> {
    match component.get("children") {
        None => Some(Vec::new()),
        Some(Value::Object(only)) => Some(vec![only]),
        Some(Value::Array(list)) => list.iter().map(Value::as_object).collect(),
        Some(_) => None,
    }
}

/// Whether two components differ in this member only, and its JSON type is the same in both.
fn differ_only_in(before: &Component, after: &Component, name: &str) -> bool {
    let json_type = |component: &Component| component.get(name).map(std::mem::discriminant);
    let has_others = |component: &Component, other: &Component| {
        component.iter().filter(|(member, _)| *member != name).all(|(member, value)| other.get(member) == Some(value))
    };
    before.len() == after.len() && json_type(before) == json_type(after) && has_others(before, after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn diff_json(before: &Value, after: &Value) -> Value {
        let read = |value: &Value| WidgetRoot::deserialize(value).unwrap();
        serde_json::to_value(diff(&read(before), &read(after))).unwrap()
    }

    fn card(children: Value) -> Value {
        json!({"type": "Card", "size": "sm", "children": children})
    }

    fn text(id: Value, value: &str) -> Value {
        json!({"type": "Text", "id": id, "value": value})
    }

    #[test]
    fn equal_widgets_have_no_updates() {
        let same = card(json!([text(json!("a"), "one")]));
        assert_eq!(diff_json(&same, &same), json!([]));
    }

    #[test]
    fn appended_text_is_sent_alone() {
        let delta = |id: &str, delta: &str, done: bool| {
            json!({
                "type": "widget.streaming_text.value_delta", "component_id": id, "delta": delta, "done": done,
            })
        };
        let row = |one: &str, two: &str| {
            let markdown = json!({"type": "Markdown", "id": "b", "value": two, "streaming": true});
            card(json!([{"type": "Row", "children": [text(json!("a"), one), markdown]}]))
        };
        assert_eq!(diff_json(&row("One", ""), &row("One, two", "")), json!([delta("a", ", two", true)]));
        let both = json!([delta("a", "!", true), delta("b", "*x*", false)]);
        assert_eq!(diff_json(&row("One", ""), &row("One!", "*x*")), both);
    }

    #[test]
    fn one_changed_component_is_replaced() {
        let updated = |component: &Value| {
            json!([{
                "type": "widget.component.updated", "component_id": component["id"], "component": component,
            }])
        };
        let (before, after) = (text(json!("a"), "open"), text(json!("a"), "shipped"));
        assert_eq!(diff_json(&card(json!([before])), &card(json!([after]))), updated(&after));
        // Its type can change.
        let badge = json!({"type": "Badge", "id": "a", "label": "shipped"});
        assert_eq!(diff_json(&card(json!([before])), &card(json!([badge]))), updated(&badge));
        // The container is replaced if a changed child has no id, or if several children have changed.
        let row = |inner: Value| json!({"type": "Row", "id": "row", "children": inner});
        for (one, other) in [
            (json!([text(json!(null), "x")]), json!([text(json!(null), "y")])),
            (json!([before, text(json!("b"), "x")]), json!([after, text(json!("b"), "y")])),
            (json!([before, text(json!("b"), "x")]), json!([after, text(json!("b"), "x, y")])),
            (json!([before]), json!([])),
        ] {
            let (one, other) = (row(one), row(other));
            let typed = WidgetComponent::deserialize(&other).unwrap();
            let rest = json!({"type": "Divider"});
            let updates = diff_json(&card(json!([one, rest])), &card(json!([other, rest])));
            assert_eq!(updates, updated(&serde_json::to_value(typed).unwrap()));
        }
        // Inside a component of an unknown type, and inside one that has a single child.
        let inside = |child: &Value| {
            let transition = json!({"type": "Transition", "children": child});
            card(json!([{"type": "Carousel", "children": [transition]}]))
        };
        assert_eq!(diff_json(&inside(&before), &inside(&after)), updated(&after));
    }

    #[test]
    fn a_replaced_component_keeps_members_that_are_null() {
        let text = |value: &str| json!({"type": "Text", "id": "a", "value": value, "streaming": null});
        let inside = |child: Value| card(json!([{"type": "Carousel", "children": [child]}]));
        let updates = diff_json(&inside(text("x")), &inside(text("y")));
        assert_eq!(updates[0]["component"], text("y"));
    }

    #[test]
    fn every_other_change_replaces_the_widget() {
        let (a, b) = (text(json!("a"), "x"), text(json!("a"), "y"));
        let none = text(json!(null), "x");
        for (before, after) in [
            (card(json!([none])), card(json!([text(json!(null), "x, y")]))),
            (card(json!([a, b])), card(json!([b, b]))),
            (card(json!([a])), card(json!([text(json!("b"), "x")]))),
            (card(json!([a])), card(json!([a, none]))),
            (card(json!([a])), json!({"type": "Card", "size": "lg", "children": [a]})),
            (json!({"type": "Basic", "children": [a]}), json!({"type": "Basic", "children": b})),
            (
                json!({"type": "Card", "id": "c", "children": [none]}),
                json!({"type": "Card", "id": "c", "children": []}),
            ),
            (json!({"type": "ListView", "children": []}), card(json!([]))),
        ] {
            let after = serde_json::to_value(WidgetRoot::deserialize(&after).unwrap()).unwrap();
            assert_eq!(diff_json(&before, &after), json!([{"type": "widget.root.updated", "widget": after}]));
        }
    }
}
