//! Containers, dividers and spacers.

use super::style::{Color, Length, Padding, Radius, tokens};
use super::{Common, WidgetComponent};
use crate::chatkit::ActionConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Number;
use serde_with::skip_serializing_none;

/// Members that every container has.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Layout {
    /// Children.
    pub children: Option<Vec<WidgetComponent>>,
    /// Alignment of the children on the cross axis.
    pub align: Option<Alignment>,
    /// Alignment of the children on the main axis.
    pub justify: Option<Justification>,
    /// Whether the children wrap to the next line.
    pub wrap: Option<Wrap>,
    /// CSS `flex`.
    pub flex: Option<Length>,
    /// Space between the children.
    pub gap: Option<Length>,
    /// Height.
    pub height: Option<Length>,
    /// Width.
    pub width: Option<Length>,
    /// Height and width.
    pub size: Option<Length>,
    /// Minimum height.
    pub min_height: Option<Length>,
    /// Minimum width.
    pub min_width: Option<Length>,
    /// Minimum height and width.
    pub min_size: Option<Length>,
    /// Maximum height.
    pub max_height: Option<Length>,
    /// Maximum width.
    pub max_width: Option<Length>,
    /// Maximum height and width.
    pub max_size: Option<Length>,
    /// Padding.
    pub padding: Option<Padding>,
    /// Margin.
    pub margin: Option<Padding>,
    /// Border.
    pub border: Option<BoxBorder>,
    /// Radius of the corners.
    pub radius: Option<Radius>,
    /// Background.
    pub background: Option<Color>,
    /// Width divided by height.
    pub aspect_ratio: Option<Length>,
}

/// A container with a direction.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BoxContainer {
    /// Direction of the children.
    pub direction: Option<Direction>,
    /// Members that every container has.
    #[serde(flatten)]
    pub layout: Layout,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// A container that puts its children side by side.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Members that every container has.
    #[serde(flatten)]
    pub layout: Layout,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// A container that puts its children below each other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Col {
    /// Members that every container has.
    #[serde(flatten)]
    pub layout: Layout,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// A form: its fields are submitted together.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Form {
    /// Action of submitting.
    pub on_submit_action: Option<ActionConfig>,
    /// Direction of the children.
    pub direction: Option<Direction>,
    /// Members that every container has.
    #[serde(flatten)]
    pub layout: Layout,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// A dividing line.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Divider {
    /// Colour.
    pub color: Option<Color>,
    /// Thickness.
    pub size: Option<Length>,
    /// Space above and below.
    pub spacing: Option<Length>,
    /// Whether it reaches the edges of its container.
    pub flush: Option<bool>,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// Space that grows.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Spacer {
    /// Minimum size.
    pub min_size: Option<Length>,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// Animates its child.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Transition {
    /// The child.
    pub children: Option<WidgetComponent>,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// The border of a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum BoxBorder {
    /// The same on all sides.
    All(Edge),
    /// One per side.
    Sides(Box<Borders>),
}

/// The border of a side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Edge {
    /// Thickness in pixels.
    Size(Number),
    /// All properties.
    Border(Border),
}

/// The properties of a border.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Border {
    /// Thickness in pixels.
    pub size: Number,
    /// Colour.
    pub color: Option<Color>,
    /// Style.
    pub style: Option<BorderStyle>,
}

/// Borders by side.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Borders {
    /// Top.
    pub top: Option<Edge>,
    /// Right.
    pub right: Option<Edge>,
    /// Bottom.
    pub bottom: Option<Edge>,
    /// Left.
    pub left: Option<Edge>,
    /// Left and right.
    pub x: Option<Edge>,
    /// Top and bottom.
    pub y: Option<Edge>,
}

tokens! {
    /// Alignment on the cross axis.
    Alignment { Start = "start", Center = "center", End = "end", Baseline = "baseline", Stretch = "stretch" }
    /// Alignment on the main axis.
    Justification {
        Start = "start", Center = "center", End = "end", Between = "between", Around = "around", Evenly = "evenly",
        Stretch = "stretch",
    }
    /// Whether the children wrap to the next line.
    Wrap { NoWrap = "nowrap", Wrap = "wrap", Reverse = "wrap-reverse" }
    /// Direction of the main axis.
    Direction { Row = "row", Col = "col" }
    /// Style of a border.
    BorderStyle {
        Solid = "solid", Dashed = "dashed", Dotted = "dotted", Double = "double", Groove = "groove", Ridge = "ridge",
        Inset = "inset", Outset = "outset",
    }
}
