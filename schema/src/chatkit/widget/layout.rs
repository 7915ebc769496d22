//! Containers, and what stands between their children.

use super::style::{Color, Length, Padding, Radius, tokens};
use super::{Common, WidgetComponent};
use crate::chatkit::ActionConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Number;
use serde_with::skip_serializing_none;

/// What every container has.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Layout {
    /// What is in it.
    pub children: Option<Vec<WidgetComponent>>,
    /// Where children stand across its direction.
    pub align: Option<Alignment>,
    /// Where children stand along its direction.
    pub justify: Option<Justification>,
    /// Whether children go on in a next line.
    pub wrap: Option<Wrap>,
    /// How it grows and shrinks.
    pub flex: Option<Length>,
    /// Room between children.
    pub gap: Option<Length>,
    /// Height.
    pub height: Option<Length>,
    /// Width.
    pub width: Option<Length>,
    /// Height and width.
    pub size: Option<Length>,
    /// Least height.
    pub min_height: Option<Length>,
    /// Least width.
    pub min_width: Option<Length>,
    /// Least height and width.
    pub min_size: Option<Length>,
    /// Greatest height.
    pub max_height: Option<Length>,
    /// Greatest width.
    pub max_width: Option<Length>,
    /// Greatest height and width.
    pub max_size: Option<Length>,
    /// Room inside.
    pub padding: Option<Padding>,
    /// Room outside.
    pub margin: Option<Padding>,
    /// Its border.
    pub border: Option<BoxBorder>,
    /// How round its corners are.
    pub radius: Option<Radius>,
    /// Its background.
    pub background: Option<Color>,
    /// Width divided by height.
    pub aspect_ratio: Option<Length>,
}

/// A container with a direction.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BoxContainer {
    /// Its direction.
    pub direction: Option<Direction>,
    /// What every container has.
    #[serde(flatten)]
    pub layout: Layout,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// A container from left to right.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// What every container has.
    #[serde(flatten)]
    pub layout: Layout,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// A container from top to bottom.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Col {
    /// What every container has.
    #[serde(flatten)]
    pub layout: Layout,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// A container whose fields are submitted together.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Form {
    /// What submitting does.
    pub on_submit_action: Option<ActionConfig>,
    /// Its direction.
    pub direction: Option<Direction>,
    /// What every container has.
    #[serde(flatten)]
    pub layout: Layout,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// A line between two things.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Divider {
    /// Its colour.
    pub color: Option<Color>,
    /// How thick it is.
    pub size: Option<Length>,
    /// Room above and below.
    pub spacing: Option<Length>,
    /// Whether it goes to the edges of its container.
    pub flush: Option<bool>,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// Room that grows.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Spacer {
    /// Its least size.
    pub min_size: Option<Length>,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// Animates its child.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Transition {
    /// The child.
    pub children: Option<WidgetComponent>,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// The border of a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum BoxBorder {
    /// The same on all sides.
    All(Edge),
    /// By side.
    Sides(Box<Borders>),
}

/// The border of a side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Edge {
    /// How thick it is, in pixels.
    Size(Number),
    /// All about it.
    Border(Border),
}

/// All about a border.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Border {
    /// How thick it is, in pixels.
    pub size: Number,
    /// Its colour.
    pub color: Option<Color>,
    /// Its style.
    pub style: Option<BorderStyle>,
}

/// Borders by side.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Borders {
    /// Above.
    pub top: Option<Edge>,
    /// To the right.
    pub right: Option<Edge>,
    /// Below.
    pub bottom: Option<Edge>,
    /// To the left.
    pub left: Option<Edge>,
    /// Left and right.
    pub x: Option<Edge>,
    /// Above and below.
    pub y: Option<Edge>,
}

tokens! {
    /// Where children stand across a direction.
    Alignment { Start = "start", Center = "center", End = "end", Baseline = "baseline", Stretch = "stretch" }
    /// Where children stand along a direction.
    Justification {
        Start = "start", Center = "center", End = "end", Between = "between", Around = "around", Evenly = "evenly",
        Stretch = "stretch",
    }
    /// Whether children go on in a next line.
    Wrap { NoWrap = "nowrap", Wrap = "wrap", Reverse = "wrap-reverse" }
    /// A direction.
    Direction { Row = "row", Col = "col" }
    /// How a border is drawn.
    BorderStyle {
        Solid = "solid", Dashed = "dashed", Dotted = "dotted", Double = "double", Groove = "groove", Ridge = "ridge",
        Inset = "inset", Outset = "outset",
    }
}
