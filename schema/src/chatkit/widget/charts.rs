//! Charts.

use super::Common;
use super::style::{Color, Length, tokens};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_with::skip_serializing_none;
use std::collections::BTreeMap;

/// A chart with bars, lines and areas.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Chart {
    /// The rows. Their fields are numbers or text.
    pub data: Vec<Map<String, Value>>,
    /// The series.
    pub series: Vec<Series>,
    /// The x axis.
    pub x_axis: XAxis,
    /// Whether the y axis is shown.
    #[serde(rename = "showYAxis")]
    pub show_y_axis: Option<bool>,
    /// Whether a legend is shown.
    pub show_legend: Option<bool>,
    /// Whether a tooltip shows the value of a point.
    pub show_tooltip: Option<bool>,
    /// Space between the bars of a category, in pixels.
    pub bar_gap: Option<i64>,
    /// Space between categories, in pixels.
    pub bar_category_gap: Option<i64>,
    /// CSS `flex`.
    pub flex: Option<Length>,
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
    /// Width divided by height.
    pub aspect_ratio: Option<Length>,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// The x axis of a chart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum XAxis {
    /// Name of the field.
    Field(String),
    /// Name of the field, and options.
    Config(XAxisConfig),
}

/// Options of the x axis.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct XAxisConfig {
    /// Name of the field with the values.
    pub data_key: String,
    /// Whether the axis is hidden.
    pub hide: Option<bool>,
    /// Labels by value.
    pub labels: Option<BTreeMap<String, String>>,
}

/// A series of a chart.
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
    /// Name.
    pub label: Option<String>,
    /// Name of the field with the values.
    pub data_key: String,
    /// Series with the same value are stacked.
    pub stack: Option<String>,
    /// Colour.
    pub color: Option<Color>,
}

/// An area.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AreaSeries {
    /// Name.
    pub label: Option<String>,
    /// Name of the field with the values.
    pub data_key: String,
    /// Series with the same value are stacked.
    pub stack: Option<String>,
    /// Colour.
    pub color: Option<Color>,
    /// Interpolation between the points.
    pub curve_type: Option<CurveType>,
}

/// A line.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LineSeries {
    /// Name.
    pub label: Option<String>,
    /// Name of the field with the values.
    pub data_key: String,
    /// Colour.
    pub color: Option<Color>,
    /// Interpolation between the points.
    pub curve_type: Option<CurveType>,
}

tokens! {
    /// Interpolation between the points.
    CurveType {
        Basis = "basis", BasisClosed = "basisClosed", BasisOpen = "basisOpen", BumpX = "bumpX", BumpY = "bumpY",
        Bump = "bump", Linear = "linear", LinearClosed = "linearClosed", Natural = "natural",
        MonotoneX = "monotoneX", MonotoneY = "monotoneY", Monotone = "monotone", Step = "step",
        StepBefore = "stepBefore", StepAfter = "stepAfter",
    }
}
