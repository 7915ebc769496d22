//! Properties of the widget diff, on random widgets and random changes of them. `PROPTEST_CASES` sets the number of
//! cases.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};
use threadline_schema::chatkit::widget::WidgetRoot;
use threadline_tools::widgets;

/// Few texts and ids, so that random components share them, and texts are prefixes of each other.
const TEXTS: &[&str] = &["", "a", "ab", "abc", "b", "ü", "ü🥛"];
const IDS: &[&str] = &["one", "two", "three"];
/// Types with children in a list. `Carousel` is unknown to this version of the protocol.
const CONTAINERS: &[&str] = &["Row", "Col", "Box", "Form", "ListViewItem", "Carousel"];

fn text() -> impl Strategy<Value = Value> {
    select(TEXTS).prop_map(Value::from)
}

fn leaf() -> impl Strategy<Value = Value> {
    let component = prop_oneof![
        (text(), any::<Option<bool>>())
            .prop_map(|(value, streaming)| json!({"type": "Text", "value": value, "streaming": streaming})),
        text().prop_map(|value| json!({"type": "Markdown", "value": value})),
        text().prop_map(|label| json!({"type": "Badge", "label": label})),
        // Kept as it is, because it does not fit its type.
        text().prop_map(|value| json!({"type": "Badge", "label": 7, "value": value})),
    ];
    with_id(component)
}

fn with_id(component: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    (component, proptest::option::of(select(IDS))).prop_map(|(mut component, id)| {
        if let Some(id) = id {
            component["id"] = json!(id);
        }
        component
    })
}

fn component() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 16, 4, |inner| {
        let container = (select(CONTAINERS), vec(inner.clone(), 0..4))
            .prop_map(|(kind, children)| json!({"type": kind, "children": children}));
        let single = inner.prop_map(|child| json!({"type": "Transition", "children": child}));
        with_id(prop_oneof![3 => container, 1 => single])
    })
}

fn root() -> impl Strategy<Value = Value> {
    let root = prop_oneof![
        (select(&["Card", "ListView", "Basic"][..]), vec(component(), 0..4))
            .prop_map(|(kind, children)| json!({"type": kind, "children": children})),
        component().prop_map(|child| json!({"type": "Basic", "children": child})),
    ];
    with_id(root)
}

/// A change of one component.
#[derive(Debug, Clone)]
enum Change {
    AppendText(&'static str),
    SetMember(&'static str, Value),
    Replace(Value),
    AddChild(Value),
    RemoveChild,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => select(TEXTS).prop_map(Change::AppendText),
        1 => text().prop_map(|value| Change::SetMember("value", value)),
        1 => select(IDS).prop_map(|id| Change::SetMember("id", json!(id))),
        1 => any::<bool>().prop_map(|streaming| Change::SetMember("streaming", json!(streaming))),
        1 => component().prop_map(Change::Replace),
        1 => component().prop_map(Change::AddChild),
        1 => Just(Change::RemoveChild),
    ]
}

/// Returns the paths of all components, in document order. The root has the path of length 0.
fn paths(component: &Value, at: &mut Vec<usize>, found: &mut Vec<Vec<usize>>) {
    found.push(at.clone());
    for (index, child) in children(component).into_iter().enumerate() {
        at.push(index);
        paths(child, at, found);
        at.pop();
    }
}

fn children(component: &Value) -> Vec<&Value> {
    match component.get("children") {
        Some(Value::Array(list)) => list.iter().collect(),
        Some(only @ Value::Object(_)) => vec![only],
        _ => Vec::new(),
    }
}

fn children_mut(component: &mut Value) -> Vec<&mut Value> {
    match component.get_mut("children") {
        Some(Value::Array(list)) => list.iter_mut().collect(),
        Some(only @ Value::Object(_)) => vec![only],
        _ => Vec::new(),
    }
}

fn at<'a>(component: &'a mut Value, path: &[usize]) -> &'a mut Value {
    match path {
        [] => component,
        [first, rest @ ..] => at(children_mut(component).swap_remove(*first), rest),
    }
}

/// Changes one component. The root is changed only in ways that keep it a root.
fn apply_change(widget: &mut Value, index: Index, change: Change) {
    let mut found = Vec::new();
    paths(widget, &mut Vec::new(), &mut found);
    let path = &found[index.index(found.len())];
    let is_root = path.is_empty();
    let component = at(widget, path);
    match change {
        Change::AppendText(text) => {
            if let Some(Value::String(value)) = component.get_mut("value") {
                value.push_str(text);
            }
        }
        Change::SetMember(name, value) => component[name] = value,
        Change::Replace(new) if !is_root => *component = new,
        Change::AddChild(child) => {
            if let Some(Value::Array(list)) = component.get_mut("children") {
                list.push(child);
            }
        }
        Change::RemoveChild => {
            if let Some(Value::Array(list)) = component.get_mut("children") {
                list.pop();
            }
        }
        Change::Replace(_) => {}
    }
}

/// A widget, and the same widget after some changes.
fn pair() -> impl Strategy<Value = (Value, Value)> {
    (root(), vec((any::<Index>(), change()), 0..4)).prop_map(|(before, changes)| {
        let mut after = before.clone();
        for (index, change) in changes {
            apply_change(&mut after, index, change);
        }
        (before, after)
    })
}

fn parse(widget: &Value) -> WidgetRoot {
    serde_json::from_value(widget.clone()).unwrap()
}

fn to_json(widget: &WidgetRoot) -> Value {
    serde_json::to_value(widget).unwrap()
}

/// Finds the component with this id, as a front end does: the first one in document order.
fn find<'a>(component: &'a mut Value, id: &str) -> Option<&'a mut Value> {
    if component.get("id").and_then(Value::as_str) == Some(id) {
        return Some(component);
    }
    children_mut(component).into_iter().find_map(|child| find(child, id))
}

/// Applies an update as a front end does.
fn apply_update(widget: &mut Value, update: &Value) {
    let component = |widget| find(widget, update["component_id"].as_str().unwrap()).unwrap();
    match update["type"].as_str().unwrap() {
        "widget.streaming_text.value_delta" => {
            let Value::String(value) = &mut component(widget)["value"] else { panic!("a text has a value") };
            value.push_str(update["delta"].as_str().unwrap());
        }
        "widget.component.updated" => *component(widget) = update["component"].clone(),
        "widget.root.updated" => *widget = update["widget"].clone(),
        other => panic!("{other} is not an update of a widget"),
    }
}

/// Checks that the updates turn the old widget into the new one.
fn check(before: &WidgetRoot, after: &WidgetRoot) {
    let mut widget = to_json(before);
    for update in widgets::diff(before, after) {
        apply_update(&mut widget, &serde_json::to_value(update).unwrap());
    }
    assert_eq!(widget, to_json(after));
}

/// Any JSON, with the member names that widgets use.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        text(),
        select(&["Card", "ListView", "Basic", "Text", "Row", "Badge", "Transition"][..]).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let names = select(&["type", "children", "id", "key", "value", "label", "action"][..]).prop_map(str::to_owned);
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(names, inner, 0..5).prop_map(|members| Value::Object(Map::from_iter(members))),
        ]
    })
}

fn any_root() -> impl Strategy<Value = Value> {
    (select(&["Card", "ListView", "Basic"][..]), any_json()).prop_map(|(kind, mut widget)| {
        if !widget.is_object() {
            widget = json!({ "children": widget });
        }
        widget["type"] = json!(kind);
        widget
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn updates_turn_the_old_widget_into_the_new_one((before, after) in pair()) {
        check(&parse(&before), &parse(&after));
    }

    #[test]
    fn unrelated_widgets_are_replaced((before, after) in (root(), root())) {
        check(&parse(&before), &parse(&after));
    }

    #[test]
    fn equal_widgets_have_no_updates(widget in root()) {
        let widget = parse(&widget);
        prop_assert!(widgets::diff(&widget, &widget).is_empty());
    }

    #[test]
    fn any_json_that_parses_has_a_diff(before in any_root(), after in any_root()) {
        let _ = widgets::parse_widget(&before);
        if let (Ok(before), Ok(after)) = (serde_json::from_value(before), serde_json::from_value(after)) {
            check(&before, &after);
        }
    }
}
