//! What is written into.

use super::Common;
use super::controls::ControlSize;
use super::style::{Color, tokens};
use super::text::{FontWeight, TextAlign, TextSize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

/// A line of text to fill in.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Name of the field.
    pub name: String,
    /// What is to be filled in.
    pub input_type: Option<InputType>,
    /// The value at first.
    pub default_value: Option<String>,
    /// Whether it must be filled in.
    pub required: Option<bool>,
    /// A regular expression that it must match.
    pub pattern: Option<String>,
    /// Stands in it while it is empty.
    pub placeholder: Option<String>,
    /// Whether password managers may show themselves.
    pub allow_autofill_extensions: Option<bool>,
    /// Whether all of it is selected when it appears.
    pub auto_select: Option<bool>,
    /// Whether it has the focus when it appears.
    pub auto_focus: Option<bool>,
    /// Whether it cannot be used.
    pub disabled: Option<bool>,
    /// How it is filled.
    pub variant: Option<InputVariant>,
    /// Its size.
    pub size: Option<ControlSize>,
    /// Room at its edges.
    pub gutter_size: Option<GutterSize>,
    /// Whether its ends are round.
    pub pill: Option<bool>,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// What a field is called.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Label {
    /// The text.
    pub value: String,
    /// Name of the field.
    pub field_name: String,
    /// Its size.
    pub size: Option<TextSize>,
    /// How bold it is.
    pub weight: Option<FontWeight>,
    /// Where it stands.
    pub text_align: Option<TextAlign>,
    /// Its colour.
    pub color: Option<Color>,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// Lines of text to fill in.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Textarea {
    /// Name of the field.
    pub name: String,
    /// The value at first.
    pub default_value: Option<String>,
    /// Whether it must be filled in.
    pub required: Option<bool>,
    /// A regular expression that it must match.
    pub pattern: Option<String>,
    /// Stands in it while it is empty.
    pub placeholder: Option<String>,
    /// Whether all of it is selected when it appears.
    pub auto_select: Option<bool>,
    /// Whether it has the focus when it appears.
    pub auto_focus: Option<bool>,
    /// Whether it cannot be used.
    pub disabled: Option<bool>,
    /// How it is filled.
    pub variant: Option<InputVariant>,
    /// Its size.
    pub size: Option<ControlSize>,
    /// Room at its edges.
    pub gutter_size: Option<GutterSize>,
    /// Lines in sight at first.
    pub rows: Option<i64>,
    /// Whether it grows with its text.
    pub auto_resize: Option<bool>,
    /// Lines up to which it grows.
    pub max_rows: Option<i64>,
    /// Whether password managers may show themselves.
    pub allow_autofill_extensions: Option<bool>,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

tokens! {
    /// How a field for text is filled.
    InputVariant { Soft = "soft", Outline = "outline" }
    /// What is to be filled in.
    InputType {
        Number = "number", Email = "email", Text = "text", Password = "password", Tel = "tel", Url = "url",
    }
    /// Room at the edges of a field.
    GutterSize { Xs2 = "2xs", Xs = "xs", Sm = "sm", Md = "md", Lg = "lg", Xl = "xl" }
}
