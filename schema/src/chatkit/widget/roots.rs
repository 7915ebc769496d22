//! Widgets as a whole, and the rows of lists.

use super::layout::{Alignment, Direction, Justification};
use super::style::{Color, Length, Padding, Theme, tokens};
use super::{Common, WidgetComponent};
use crate::chatkit::{ActionConfig, Extra, IconName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

/// A widget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum WidgetRoot {
    /// In a frame, perhaps as a form.
    Card(Box<Card>),
    /// A list.
    ListView(Box<ListView>),
    /// Nothing around it.
    Basic(Box<BasicRoot>),
    /// One of the three whose members do not all fit.
    #[serde(untagged)]
    Dynamic(DynamicRoot),
}

/// A widget as it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DynamicRoot {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: RootType,
    /// All other members.
    #[serde(flatten)]
    pub members: Extra,
}

/// A framed widget.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Card {
    /// Whether its buttons submit the fields in it.
    pub as_form: Option<bool>,
    /// What is in it.
    pub children: Vec<WidgetComponent>,
    /// Its background.
    pub background: Option<Color>,
    /// Its size.
    pub size: Option<CardSize>,
    /// Room inside.
    pub padding: Option<Padding>,
    /// Stands above it.
    pub status: Option<Status>,
    /// Whether only its head is left once its main action is done.
    pub collapsed: Option<bool>,
    /// Its main button.
    pub confirm: Option<CardAction>,
    /// Its other button.
    pub cancel: Option<CardAction>,
    /// A theme that is forced.
    pub theme: Option<Theme>,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// A button of a card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CardAction {
    /// What it says.
    pub label: String,
    /// What it does.
    pub action: ActionConfig,
}

/// A list.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ListView {
    /// Its rows: components of type `ListViewItem`.
    pub children: Vec<WidgetComponent>,
    /// How many rows are shown before the user asks for more.
    pub limit: Option<ListLimit>,
    /// Stands above it.
    pub status: Option<Status>,
    /// A theme that is forced.
    pub theme: Option<Theme>,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// How many rows of a list are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ListLimit {
    /// The front end decides.
    Auto,
    /// So many.
    #[serde(untagged)]
    Rows(i64),
}

/// A row of a list.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListViewItem {
    /// What is in it.
    pub children: Vec<WidgetComponent>,
    /// What a click does.
    pub on_click_action: Option<ActionConfig>,
    /// Room between children.
    pub gap: Option<Length>,
    /// Where children stand from top to bottom.
    pub align: Option<Alignment>,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// A widget with nothing around it.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BasicRoot {
    /// What is in it.
    pub children: Option<Children>,
    /// A theme that is forced.
    pub theme: Option<Theme>,
    /// Its direction.
    pub direction: Option<Direction>,
    /// Room between children.
    pub gap: Option<Length>,
    /// Room inside.
    pub padding: Option<Padding>,
    /// Where children stand across its direction.
    pub align: Option<Alignment>,
    /// Where children stand along its direction.
    pub justify: Option<Justification>,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// One child or several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Children {
    /// Several.
    Many(Vec<WidgetComponent>),
    /// One.
    One(WidgetComponent),
}

/// Stands above a widget.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// What it says.
    pub text: String,
    /// Where an image to stand before it is.
    pub favicon: Option<String>,
    /// Whether that image has a frame.
    pub frame: Option<bool>,
    /// An icon to stand before it.
    pub icon: Option<IconName>,
}

tokens! {
    /// The types of widgets.
    RootType { Card = "Card", ListView = "ListView", Basic = "Basic" }
    /// Size of a card.
    CardSize { Sm = "sm", Md = "md", Lg = "lg", Full = "full" }
}
