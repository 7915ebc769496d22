//! Text fields and their labels.

use super::Common;
use super::controls::ControlSize;
use super::style::{Color, tokens};
use super::text::{FontWeight, TextAlign, TextSize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

/// A text field of one line.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Name of the form field.
    pub name: String,
    /// Type of the value.
    pub input_type: Option<InputType>,
    /// Initial value.
    pub default_value: Option<String>,
    /// Whether a value is required.
    pub required: Option<bool>,
    /// Regular expression that the value must match.
    pub pattern: Option<String>,
    /// Text that is shown while it is empty.
    pub placeholder: Option<String>,
    /// Whether extensions such as password managers may fill it in.
    pub allow_autofill_extensions: Option<bool>,
    /// Whether its text is selected when it appears.
    pub auto_select: Option<bool>,
    /// Whether it gets the focus when it appears.
    pub auto_focus: Option<bool>,
    /// Whether it is disabled.
    pub disabled: Option<bool>,
    /// Style of the fill.
    pub variant: Option<InputVariant>,
    /// Size.
    pub size: Option<ControlSize>,
    /// Space at the edges.
    pub gutter_size: Option<GutterSize>,
    /// Whether the ends are fully rounded.
    pub pill: Option<bool>,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// The label of a field.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Label {
    /// The text.
    pub value: String,
    /// Name of the form field.
    pub field_name: String,
    /// Size.
    pub size: Option<TextSize>,
    /// Font weight.
    pub weight: Option<FontWeight>,
    /// Text alignment.
    pub text_align: Option<TextAlign>,
    /// Colour.
    pub color: Option<Color>,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// A text field of several lines.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Textarea {
    /// Name of the form field.
    pub name: String,
    /// Initial value.
    pub default_value: Option<String>,
    /// Whether a value is required.
    pub required: Option<bool>,
    /// Regular expression that the value must match.
    pub pattern: Option<String>,
    /// Text that is shown while it is empty.
    pub placeholder: Option<String>,
    /// Whether its text is selected when it appears.
    pub auto_select: Option<bool>,
    /// Whether it gets the focus when it appears.
    pub auto_focus: Option<bool>,
    /// Whether it is disabled.
    pub disabled: Option<bool>,
    /// Style of the fill.
    pub variant: Option<InputVariant>,
    /// Size.
    pub size: Option<ControlSize>,
    /// Space at the edges.
    pub gutter_size: Option<GutterSize>,
    /// Number of lines that are visible initially.
    pub rows: Option<i64>,
    /// Whether it grows with its text.
    pub auto_resize: Option<bool>,
    /// Maximum number of lines to which it grows.
    pub max_rows: Option<i64>,
    /// Whether extensions such as password managers may fill it in.
    pub allow_autofill_extensions: Option<bool>,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

tokens! {
    /// Style of the fill of a text field.
    InputVariant { Soft = "soft", Outline = "outline" }
    /// Type of the value.
    InputType {
        Number = "number", Email = "email", Text = "text", Password = "password", Tel = "tel", Url = "url",
    }
    /// Space at the edges of a field.
    GutterSize { Xs2 = "2xs", Xs = "xs", Sm = "sm", Md = "md", Lg = "lg", Xl = "xl" }
}
