//! How a widget becomes another, as updates of it.

use super::{WidgetComponent, WidgetRoot};
use crate::chatkit::ItemUpdate;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// The least that turns one widget into another where it is shown; nothing when they are the same.
///
/// As ChatKit's own server has it, words that a `Text` or a `Markdown` with an `id` has gained are sent by themselves.
/// Beyond that, one component with an `id` in which all the changes are takes the place of the old one. Everything else
/// is a whole new widget.
pub fn updates(before: &WidgetRoot, after: &WidgetRoot) -> Vec<ItemUpdate> {
    let whole = || vec![ItemUpdate::WidgetRootUpdated { widget: Box::new(after.clone()) }];
    let (Ok(Value::Object(before)), Ok(Value::Object(after))) =
        (serde_json::to_value(before), serde_json::to_value(after))
    else {
        return whole();
    };
    if before == after {
        return Vec::new();
    }
    let mut ids = Ids::default();
    ids.count(&before);
    ids.below(&before, &after).unwrap_or_else(whole)
}

/// A component as JSON has it. Its children are components in `children`, whatever its type is.
type Node = Map<String, Value>;

/// How many components have an id. An update by an id that two have would be for either.
#[derive(Default)]
struct Ids<'a>(HashMap<&'a str, u32>);

impl<'a> Ids<'a> {
    fn count(&mut self, node: &'a Node) {
        if let Some(id) = text(node, "id") {
            *self.0.entry(id).or_default() += 1;
        }
        for child in children(node).unwrap_or_default() {
            self.count(child);
        }
    }

    /// The id under which both are the same component, and no other is.
    fn shared(&self, before: &Node, after: &Node) -> Option<String> {
        let id = text(before, "id").filter(|id| text(after, "id") == Some(id) && self.0.get(id) == Some(&1))?;
        Some(id.to_owned())
    }

    /// What turns one component into another; `None` when that takes something around it.
    fn between(&self, before: &Node, after: &Node) -> Option<Vec<ItemUpdate>> {
        if before == after {
            return Some(Vec::new());
        }
        if let Some(gained) = self.gained(before, after) {
            return Some(vec![gained]);
        }
        self.below(before, after).or_else(|| {
            let component_id = self.shared(before, after)?;
            let component = WidgetComponent::deserialize(Value::Object(after.clone())).ok()?;
            Some(vec![ItemUpdate::WidgetComponentUpdated { component_id, component: Box::new(component) }])
        })
    }

    /// The same where only what is in them differs, and one component is all that changes, or words that are gained.
    fn below(&self, before: &Node, after: &Node) -> Option<Vec<ItemUpdate>> {
        if !are_same_but(before, after, "children") {
            return None;
        }
        let (old, new) = (children(before)?, children(after)?);
        if old.len() != new.len() {
            return None;
        }
        let updates = old.into_iter().zip(new).map(|(before, after)| self.between(before, after));
        let updates = updates.collect::<Option<Vec<_>>>()?.concat();
        let gained = |update: &ItemUpdate| matches!(update, ItemUpdate::WidgetTextDelta { .. });
        (updates.len() == 1 || updates.iter().all(gained)).then_some(updates)
    }

    /// The words that a text has gained, if nothing else has changed.
    fn gained(&self, before: &Node, after: &Node) -> Option<ItemUpdate> {
        let is_text = matches!(text(after, "type"), Some("Text" | "Markdown"));
        if !is_text || !are_same_but(before, after, "value") {
            return None;
        }
        let delta = text(after, "value")?.strip_prefix(text(before, "value")?)?.to_owned();
        let done = after.get("streaming") != Some(&Value::Bool(true));
        Some(ItemUpdate::WidgetTextDelta { component_id: self.shared(before, after)?, delta, done })
    }
}

fn text<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    node.get(name)?.as_str()
}

/// What is in a component: nothing, one component, or a list of them. `None` when it is something else.
fn children(node: &Node) -> Option<Vec<&Node>> {
    match node.get("children") {
        None => Some(Vec::new()),
        Some(Value::Object(only)) => Some(vec![only]),
        Some(Value::Array(list)) => list.iter().map(Value::as_object).collect(),
        Some(_) => None,
    }
}

/// Whether two components differ in this member alone, and both have it as the same sort of value.
fn are_same_but(before: &Node, after: &Node, name: &str) -> bool {
    let sort = |node: &Node| node.get(name).map(std::mem::discriminant);
    let others = |node: &'_ Node, other: &Node| {
        node.iter().filter(|(member, _)| *member != name).all(|(member, value)| other.get(member) == Some(value))
    };
    before.len() == after.len() && sort(before) == sort(after) && others(before, after)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn between(before: &Value, after: &Value) -> Value {
        let read = |value: &Value| WidgetRoot::deserialize(value).unwrap();
        serde_json::to_value(updates(&read(before), &read(after))).unwrap()
    }

    fn card(children: Value) -> Value {
        json!({"type": "Card", "size": "sm", "children": children})
    }

    fn said(id: Value, value: &str) -> Value {
        json!({"type": "Text", "id": id, "value": value})
    }

    #[test]
    fn nothing_is_said_of_what_stays() {
        let same = card(json!([said(json!("a"), "one")]));
        assert_eq!(between(&same, &same), json!([]));
    }

    #[test]
    fn words_that_are_gained_are_sent_by_themselves() {
        let gains = |id: &str, delta: &str, done: bool| json!({"type": "widget.streaming_text.value_delta", "component_id": id, "delta": delta, "done": done});
        let row = |one: &str, two: &str| {
            let markdown = json!({"type": "Markdown", "id": "b", "value": two, "streaming": true});
            card(json!([{"type": "Row", "children": [said(json!("a"), one), markdown]}]))
        };
        assert_eq!(between(&row("One", ""), &row("One, two", "")), json!([gains("a", ", two", true)]));
        let both = json!([gains("a", "!", true), gains("b", "*x*", false)]);
        assert_eq!(between(&row("One", ""), &row("One!", "*x*")), both);
    }

    #[test]
    fn one_component_takes_the_place_of_another() {
        let updated = |component: &Value| json!([{"type": "widget.component.updated", "component_id": component["id"], "component": component}]);
        let (before, after) = (said(json!("a"), "open"), said(json!("a"), "shipped"));
        assert_eq!(between(&card(json!([before])), &card(json!([after]))), updated(&after));
        // Whatever it is now.
        let badge = json!({"type": "Badge", "id": "a", "label": "shipped"});
        assert_eq!(between(&card(json!([before])), &card(json!([badge]))), updated(&badge));
        // What has no id changes with what is around it, and so do several at once.
        let row = |inner: Value| json!({"type": "Row", "id": "row", "children": inner});
        for (one, other) in [
            (json!([said(json!(null), "x")]), json!([said(json!(null), "y")])),
            (json!([before, said(json!("b"), "x")]), json!([after, said(json!("b"), "y")])),
            (json!([before, said(json!("b"), "x")]), json!([after, said(json!("b"), "x, y")])),
            (json!([before]), json!([])),
        ] {
            let (one, other) = (row(one), row(other));
            let shown = WidgetComponent::deserialize(&other).unwrap();
            let rest = json!({"type": "Divider"});
            let told = between(&card(json!([one, rest])), &card(json!([other, rest])));
            assert_eq!(told, updated(&serde_json::to_value(shown).unwrap()));
        }
        // In a component that is not known here, and in one that has but one child.
        let inside = |child: &Value| {
            let transition = json!({"type": "Transition", "children": child});
            card(json!([{"type": "Carousel", "children": [transition]}]))
        };
        assert_eq!(between(&inside(&before), &inside(&after)), updated(&after));
    }

    #[test]
    fn anything_else_is_a_new_widget() {
        let (a, b) = (said(json!("a"), "x"), said(json!("a"), "y"));
        let none = said(json!(null), "x");
        for (before, after) in [
            (card(json!([none])), card(json!([said(json!(null), "x, y")]))),
            (card(json!([a, b])), card(json!([b, b]))),
            (card(json!([a])), card(json!([said(json!("b"), "x")]))),
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
            assert_eq!(between(&before, &after), json!([{"type": "widget.root.updated", "widget": after}]));
        }
    }
}
