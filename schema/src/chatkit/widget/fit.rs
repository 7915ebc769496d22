//! Whether the members of a widget fit the types of its components.

use super::{
    Badge, BasicRoot, BoxContainer, Button, Caption, Card, Chart, Checkbox, Col, DatePicker, Divider, Form, Icon,
    Image, Input, Label, ListView, ListViewItem, Markdown, RadioGroup, Row, Select, Spacer, Text, Textarea, Title,
    Transition, WidgetRoot,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// Where a widget does not fit, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Path, such as `children[1].onClickAction`; empty for the widget itself.
    pub path: String,
    /// Why. It can have parts of the widget in it.
    pub reason: String,
}

impl WidgetRoot {
    /// Reads a widget that somebody has written. A component of a type that is known here has to fit it; of one that is
    /// not, nothing can be said.
    ///
    /// # Errors
    /// The first place that does not fit.
    pub fn read(widget: &Value) -> Result<Self, Misfit> {
        look(widget, "")?;
        Self::deserialize(widget).map_err(|error| Misfit { path: String::new(), reason: error.to_string() })
    }
}

fn look(component: &Value, path: &str) -> Result<(), Misfit> {
    let members = component.as_object();
    let Some((members, kind)) = members.and_then(|members| Some((members, members.get("type")?.as_str()?))) else {
        return Err(Misfit { path: path.to_owned(), reason: "a component is an object with a `type`".to_owned() });
    };
    let below = |step: &str| if path.is_empty() { step.to_owned() } else { format!("{path}.{step}") };
    fits(kind, alone(members)).map_err(|(member, reason)| {
        let path = if member == "." { path.to_owned() } else { below(&member) };
        Misfit { path, reason }
    })?;
    match members.get("children") {
        Some(Value::Array(list)) => {
            list.iter().enumerate().try_for_each(|(index, child)| look(child, &below(&format!("children[{index}]"))))
        }
        Some(child @ Value::Object(_)) => look(child, &below("children")),
        _ => Ok(()),
    }
}

/// A component without what is in it, which is looked at by itself.
fn alone(members: &Map<String, Value>) -> Value {
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

/// The member that does not fit, `.` for all of them, and why.
fn fits(kind: &str, component: Value) -> Result<(), (String, String)> {
    fn is<T: DeserializeOwned>(component: Value) -> Result<(), (String, String)> {
        match serde_path_to_error::deserialize::<_, T>(component) {
            Ok(_) => Ok(()),
            Err(error) => Err((error.path().to_string(), error.into_inner().to_string())),
        }
    }
    match kind {
        "Badge" => is::<Badge>(component),
        "Basic" => is::<BasicRoot>(component),
        "Box" => is::<BoxContainer>(component),
        "Button" => is::<Button>(component),
        "Caption" => is::<Caption>(component),
        "Card" => is::<Card>(component),
        "Chart" => is::<Chart>(component),
        "Checkbox" => is::<Checkbox>(component),
        "Col" => is::<Col>(component),
        "DatePicker" => is::<DatePicker>(component),
        "Divider" => is::<Divider>(component),
        "Form" => is::<Form>(component),
        "Icon" => is::<Icon>(component),
        "Image" => is::<Image>(component),
        "Input" => is::<Input>(component),
        "Label" => is::<Label>(component),
        "ListView" => is::<ListView>(component),
        "ListViewItem" => is::<ListViewItem>(component),
        "Markdown" => is::<Markdown>(component),
        "RadioGroup" => is::<RadioGroup>(component),
        "Row" => is::<Row>(component),
        "Select" => is::<Select>(component),
        "Spacer" => is::<Spacer>(component),
        "Text" => is::<Text>(component),
        "Textarea" => is::<Textarea>(component),
        "Title" => is::<Title>(component),
        "Transition" => is::<Transition>(component),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::chatkit::widget::{RootType, WidgetComponent};
    use schemars::schema_for;

    /// The types that a schema names.
    fn types(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(members) => {
                if let Some(kind) = members.get("properties").and_then(|members| members["type"]["const"].as_str()) {
                    found.push(kind.to_owned());
                }
                members.values().for_each(|member| types(member, found));
            }
            Value::Array(list) => list.iter().for_each(|entry| types(entry, found)),
            _ => {}
        }
    }

    #[test]
    fn no_type_is_forgotten() {
        let schema = schema_for!(WidgetComponent).to_value();
        let mut known: Vec<String> = Vec::new();
        types(&schema["anyOf"], &mut known);
        assert!(known.len() > 20, "{known:?}");
        for root in [RootType::Card, RootType::ListView, RootType::Basic] {
            known.push(serde_json::to_value(root).unwrap().as_str().unwrap().to_owned());
        }
        for kind in known {
            assert!(fits(&kind, json!({"type": kind, "key": 7})).is_err(), "nobody looks at a {kind}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let path = |widget: Value| WidgetRoot::read(&widget).map(drop).map_err(|misfit| misfit.path);
        let card = |child: Value| json!({"type": "Card", "children": [{"type": "Row", "children": [child]}]});
        let at = |path: &str| Err(path.to_owned());
        for (widget, expected) in [
            (card(json!({"type": "Button", "label": "Go", "onClickAction": {"type": "go"}})), Ok(())),
            (card(json!({"type": "Button", "label": 7})), at("children[0].children[0].label")),
            (card(json!({"type": "Button", "onClickAction": {}})), at("children[0].children[0].onClickAction")),
            (card(json!({"type": "Row", "gap": []})), at("children[0].children[0]")),
            (card(json!("words")), at("children[0].children[0]")),
            (card(json!({"type": "Transition", "children": {"type": "Icon"}})), at("children[0].children[0].children")),
            // A later version of the protocol may know it.
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
