//! Charts.

use super::Common;
use super::style::{Color, Length, tokens};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_with::skip_serializing_none;
use std::collections::BTreeMap;

/// Bars, lines and areas.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Chart {
    /// The rows: names of fields, and numbers or text.
    pub data: Vec<Map<String, Value>>,
    /// What is drawn of them.
    pub series: Vec<Series>,
    /// What runs along the bottom.
    pub x_axis: XAxis,
    /// Whether the other axis is drawn.
    #[serde(rename = "showYAxis")]
    pub show_y_axis: Option<bool>,
    /// Whether the series are named.
    pub show_legend: Option<bool>,
    /// Whether a point says its value.
    pub show_tooltip: Option<bool>,
    /// Pixels between the bars of a category.
    pub bar_gap: Option<i64>,
    /// Pixels between categories.
    pub bar_category_gap: Option<i64>,
    /// How it grows and shrinks.
    pub flex: Option<Length>,
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
    /// Width divided by height.
    pub aspect_ratio: Option<Length>,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// What runs along the bottom of a chart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum XAxis {
    /// The field with this name.
    Field(String),
    /// All about it.
    Config(XAxisConfig),
}

/// All about what runs along the bottom of a chart.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct XAxisConfig {
    /// Name of the field.
    pub data_key: String,
    /// Whether it is not drawn.
    pub hide: Option<bool>,
    /// What stands for a value.
    pub labels: Option<BTreeMap<String, String>>,
}

/// What is drawn of the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Series {
    /// Bars.
    Bar(BarSeries),
    /// An area.
    Area(AreaSeries),
    /// A line.
    Line(LineSeries),
}

/// Bars.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BarSeries {
    /// What it is called.
    pub label: Option<String>,
    /// Name of the field.
    pub data_key: String,
    /// Series with the same name here stand on each other.
    pub stack: Option<String>,
    /// Its colour.
    pub color: Option<Color>,
}

/// An area.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AreaSeries {
    /// What it is called.
    pub label: Option<String>,
    /// Name of the field.
    pub data_key: String,
    /// Series with the same name here stand on each other.
    pub stack: Option<String>,
    /// Its colour.
    pub color: Option<Color>,
    /// How points are joined.
    pub curve_type: Option<CurveType>,
}

/// A line.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LineSeries {
    /// What it is called.
    pub label: Option<String>,
    /// Name of the field.
    pub data_key: String,
    /// Its colour.
    pub color: Option<Color>,
    /// How points are joined.
    pub curve_type: Option<CurveType>,
}

tokens! {
    /// How points are joined.
    CurveType {
        Basis = "basis", BasisClosed = "basisClosed", BasisOpen = "basisOpen", BumpX = "bumpX", BumpY = "bumpY",
        Bump = "bump", Linear = "linear", LinearClosed = "linearClosed", Natural = "natural",
        MonotoneX = "monotoneX", MonotoneY = "monotoneY", Monotone = "monotone", Step = "step",
        StepBefore = "stepBefore", StepAfter = "stepAfter",
    }
}
