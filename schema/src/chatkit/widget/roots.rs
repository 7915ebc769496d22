//! The root components of widgets, and the rows of lists.

use super::layout::{Alignment, Direction, Justification};
use super::style::{Color, Length, Padding, Theme, tokens};
use super::{Common, WidgetComponent};
use crate::chatkit::by_value::by_value;
use crate::chatkit::{ActionConfig, Extra, IconName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

/// A widget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Self", tag = "type")]
#[schemars(rename = "WidgetRoot")]
pub enum WidgetRoot {
    /// A card: a frame, optionally a form.
    Card(Box<Card>),
    /// A list.
    ListView(Box<ListView>),
    /// Components without a frame.
    Basic(Box<BasicRoot>),
    /// A root whose members do not fit its type.
    #[serde(untagged)]
    Dynamic(DynamicRoot),
}

by_value!(WidgetRoot);

/// A widget that is kept as it was received.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DynamicRoot {
    /// Type.
    #[serde(rename = "type")]
    pub kind: RootType,
    /// All other members.
    #[serde(flatten)]
    pub members: Extra,
}

/// A card: a frame, optionally a form.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Card {
    /// Whether its buttons submit its fields.
    pub as_form: Option<bool>,
    /// Children.
    pub children: Vec<WidgetComponent>,
    /// Background.
    pub background: Option<Color>,
    /// Size.
    pub size: Option<CardSize>,
    /// Padding.
    pub padding: Option<Padding>,
    /// Status line above the widget.
    pub status: Option<Status>,
    /// Whether the card collapses after its main action.
    pub collapsed: Option<bool>,
    /// Main button.
    pub confirm: Option<CardAction>,
    /// Secondary button.
    pub cancel: Option<CardAction>,
    /// Theme, in place of the one of the page.
    pub theme: Option<Theme>,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// A button of a card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CardAction {
    /// Label.
    pub label: String,
    /// Action.
    pub action: ActionConfig,
}

/// A list.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ListView {
    /// The rows: components of type `ListViewItem`.
    pub children: Vec<WidgetComponent>,
    /// Number of rows that are shown before the user asks for more.
    pub limit: Option<ListLimit>,
    /// Status line above the widget.
    pub status: Option<Status>,
    /// Theme, in place of the one of the page.
    pub theme: Option<Theme>,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// Number of rows of a list that are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ListLimit {
    /// The front end decides.
    Auto,
    /// A fixed number.
    #[serde(untagged)]
    Rows(i64),
}

/// A row of a list.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListViewItem {
    /// Children.
    pub children: Vec<WidgetComponent>,
    /// Action of a click.
    pub on_click_action: Option<ActionConfig>,
    /// Space between the children.
    pub gap: Option<Length>,
    /// Vertical alignment of the children.
    pub align: Option<Alignment>,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// Components without a frame.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BasicRoot {
    /// Children.
    pub children: Option<Children>,
    /// Theme, in place of the one of the page.
    pub theme: Option<Theme>,
    /// Direction of the children.
    pub direction: Option<Direction>,
    /// Space between the children.
    pub gap: Option<Length>,
    /// Padding.
    pub padding: Option<Padding>,
    /// Alignment of the children on the cross axis.
    pub align: Option<Alignment>,
    /// Alignment of the children on the main axis.
    pub justify: Option<Justification>,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// One child or several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Children {
    /// Several children.
    Many(Vec<WidgetComponent>),
    /// One child.
    One(WidgetComponent),
}

/// The status line above a widget.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Label.
    pub text: String,
    /// URL of an image before the text.
    pub favicon: Option<String>,
    /// Whether the image has a frame.
    pub frame: Option<bool>,
    /// Icon before the text.
    pub icon: Option<IconName>,
}

tokens! {
    /// The types of widgets.
    RootType { Card = "Card", ListView = "ListView", Basic = "Basic" }
    /// Size of a card.
    CardSize { Sm = "sm", Md = "md", Lg = "lg", Full = "full" }
}
