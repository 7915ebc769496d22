//! Checks a widget against the types of its components.
//!
//! The wire types keep a component that does not fit its type as it is, so that nothing stored is lost. A widget from a
//! tool must fit.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use threadline_schema::chatkit::widget::{
    Badge, BasicRoot, BoxContainer, Button, Caption, Card, Chart, Checkbox, Col, DatePicker, Divider, Form, Icon,
    Image, Input, Label, ListView, ListViewItem, Markdown, RadioGroup, Row, Select, Spacer, Text, Textarea, Title,
    Transition, WidgetRoot,
};

/// Why a widget is invalid, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct WidgetError {
    /// Path of the error, such as `children[1].onClickAction`; empty for the widget itself.
    pub path: String,
    /// The reason. It can quote the widget.
    pub reason: String,
}

/// Parses a widget strictly. A component of a known type must fit it; one of an unknown type is accepted as it is.
///
/// # Errors
/// The first component that does not fit its type.
pub fn parse_widget(widget: &Value) -> Result<WidgetRoot, WidgetError> {
    check_component(widget, "")?;
    <WidgetRoot as Deserialize>::deserialize(widget)
        .map_err(|error| WidgetError { path: String::new(), reason: error.to_string() })
}

fn check_component(component: &Value, path: &str) -> Result<(), WidgetError> {
    let members = component.as_object();
    let Some((members, kind)) = members.and_then(|members| Some((members, members.get("type")?.as_str()?))) else {
        return Err(WidgetError { path: path.to_owned(), reason: "a component is an object with a `type`".to_owned() });
    };
    let path_of = |step: &str| if path.is_empty() { step.to_owned() } else { format!("{path}.{step}") };
    check_members(kind, without_children(members)).map_err(|(member, reason)| {
        let path = if member == "." { path.to_owned() } else { path_of(&member) };
        WidgetError { path, reason }
    })?;
    match members.get("children") {
        Some(Value::Array(list)) => list
            .iter()
            .enumerate()
            .try_for_each(|(index, child)| check_component(child, &path_of(&format!("children[{index}]")))),
        Some(child @ Value::Object(_)) => check_component(child, &path_of("children")),
        _ => Ok(()),
    }
}

/// Returns a component without its children, which are checked one by one.
fn without_children(members: &Map<String, Value>) -> Value {
    let mut members = members.clone();
    if let Some(children) = members.get_mut("children") {
        match children {
            Value::Array(list) => list.clear(),
            child @ Value::Object(_) => *child = json!({"type": "Spacer"}),
            _ => {}
        }
    }
    Value::Object(members)
}

/// Parses a component as its type. The error has the path of the member, `.` for the component itself, and the reason.
fn check_members(kind: &str, component: Value) -> Result<(), (String, String)> {
    fn parse<T: DeserializeOwned>(component: Value) -> Result<(), (String, String)> {
        match serde_path_to_error::deserialize::<_, T>(component) {
            Ok(_) => Ok(()),
            Err(error) => Err((error.path().to_string(), error.into_inner().to_string())),
        }
    }
    match kind {
        "Badge" => parse::<Badge>(component),
        "Basic" => parse::<BasicRoot>(component),
        "Box" => parse::<BoxContainer>(component),
        "Button" => parse::<Button>(component),
        "Caption" => parse::<Caption>(component),
        "Card" => parse::<Card>(component),
        "Chart" => parse::<Chart>(component),
        "Checkbox" => parse::<Checkbox>(component),
        "Col" => parse::<Col>(component),
        "DatePicker" => parse::<DatePicker>(component),
        "Divider" => parse::<Divider>(component),
        "Form" => parse::<Form>(component),
        "Icon" => parse::<Icon>(component),
        "Image" => parse::<Image>(component),
        "Input" => parse::<Input>(component),
        "Label" => parse::<Label>(component),
        "ListView" => parse::<ListView>(component),
        "ListViewItem" => parse::<ListViewItem>(component),
        "Markdown" => parse::<Markdown>(component),
        "RadioGroup" => parse::<RadioGroup>(component),
        "Row" => parse::<Row>(component),
        "Select" => parse::<Select>(component),
        "Spacer" => parse::<Spacer>(component),
        "Text" => parse::<Text>(component),
        "Textarea" => parse::<Textarea>(component),
        "Title" => parse::<Title>(component),
        "Transition" => parse::<Transition>(component),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::schema_for;
    use threadline_schema::chatkit::widget::{RootType, WidgetComponent};

    /// Collects the component types that a schema names.
    fn component_types(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(members) => {
                if let Some(kind) = members.get("properties").and_then(|members| members["type"]["const"].as_str()) {
                    found.push(kind.to_owned());
                }
                members.values().for_each(|member| component_types(member, found));
            }
            Value::Array(list) => list.iter().for_each(|entry| component_types(entry, found)),
            _ => {}
        }
    }

    #[test]
    fn every_type_is_checked() {
        let schema = schema_for!(WidgetComponent).to_value();
        let mut known: Vec<String> = Vec::new();
        component_types(&schema["anyOf"], &mut known);
        assert!(known.len() > 20, "{known:?}");
        for root in [RootType::Card, RootType::ListView, RootType::Basic] {
            known.push(serde_json::to_value(root).unwrap().as_str().unwrap().to_owned());
        }
        for kind in known {
            assert!(check_members(&kind, json!({"type": kind, "key": 7})).is_err(), "{kind} is not checked");
        }
    }

    #[test]
    fn the_error_has_the_path() {
        let path = |widget: Value| parse_widget(&widget).map(drop).map_err(|error| error.path);
        let card = |child: Value| json!({"type": "Card", "children": [{"type": "Row", "children": [child]}]});
        let at = |path: &str| Err(path.to_owned());
        for (widget, expected) in [
            (card(json!({"type": "Button", "label": "Go", "onClickAction": {"type": "go"}})), Ok(())),
            (card(json!({"type": "Button", "label": 7})), at("children[0].children[0].label")),
            (card(json!({"type": "Button", "onClickAction": {}})), at("children[0].children[0].onClickAction")),
            (card(json!({"type": "Row", "gap": []})), at("children[0].children[0]")),
            (card(json!("words")), at("children[0].children[0]")),
            (card(json!({"type": "Transition", "children": {"type": "Icon"}})), at("children[0].children[0].children")),
            // A type of a later version of the protocol.
            (card(json!({"type": "Carousel", "speed": [1], "children": [{"type": "Text", "value": "x"}]})), Ok(())),
            (
                card(json!({"type": "Carousel", "children": [{"type": "Text"}]})),
                at("children[0].children[0].children[0]"),
            ),
            (json!({"type": "Card"}), at("")),
            (json!({"type": "Card", "children": [], "size": "huge"}), at("size")),
            (json!({"type": "Basic", "children": {"type": "Text", "value": "x"}}), Ok(())),
            (json!({"type": "Text", "value": "x"}), at("")),
            (json!([]), at("")),
        ] {
            assert_eq!(path(widget.clone()), expected, "{widget}");
        }
    }
}
