//! Text, badges, icons and images.

use super::Common;
use super::style::{Color, Length, Padding, Radius, tokens};
use crate::chatkit::IconName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

/// Plain text.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Text {
    /// The text.
    pub value: String,
    /// Whether updates append to the text.
    pub streaming: Option<bool>,
    /// Whether it is italic.
    pub italic: Option<bool>,
    /// Whether it is struck through.
    pub line_through: Option<bool>,
    /// Colour.
    pub color: Option<Color>,
    /// Font weight.
    pub weight: Option<FontWeight>,
    /// Width.
    pub width: Option<Length>,
    /// Size.
    pub size: Option<TextSize>,
    /// Text alignment.
    pub text_align: Option<TextAlign>,
    /// Whether a longer text is cut off with an ellipsis.
    pub truncate: Option<bool>,
    /// Minimum number of lines.
    pub min_lines: Option<i64>,
    /// Maximum number of lines; the rest is cut off.
    pub max_lines: Option<i64>,
    /// Whether the user can edit the text.
    pub editable: Option<Editable>,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// Whether the user can edit a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Editable {
    /// `false`: the user cannot.
    Not(bool),
    /// As a field of a form.
    As(EditableProps),
}

/// The form field of an editable text.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EditableProps {
    /// Name of the form field.
    pub name: String,
    /// Whether it gets the focus when it appears.
    pub auto_focus: Option<bool>,
    /// Whether its text is selected when it gets the focus.
    pub auto_select: Option<bool>,
    /// HTML `autocomplete`.
    pub auto_complete: Option<String>,
    /// Whether extensions such as password managers may fill it in.
    pub allow_autofill_extensions: Option<bool>,
    /// Regular expression that the value must match.
    pub pattern: Option<String>,
    /// Text that is shown while it is empty.
    pub placeholder: Option<String>,
    /// Whether a value is required.
    pub required: Option<bool>,
}

/// A heading.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Title {
    /// The text.
    pub value: String,
    /// Colour.
    pub color: Option<Color>,
    /// Font weight.
    pub weight: Option<FontWeight>,
    /// Size.
    pub size: Option<TitleSize>,
    /// Text alignment.
    pub text_align: Option<TextAlign>,
    /// Whether a longer text is cut off with an ellipsis.
    pub truncate: Option<bool>,
    /// Maximum number of lines; the rest is cut off.
    pub max_lines: Option<i64>,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// Small text.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Caption {
    /// The text.
    pub value: String,
    /// Colour.
    pub color: Option<Color>,
    /// Font weight.
    pub weight: Option<FontWeight>,
    /// Size.
    pub size: Option<CaptionSize>,
    /// Text alignment.
    pub text_align: Option<TextAlign>,
    /// Whether a longer text is cut off with an ellipsis.
    pub truncate: Option<bool>,
    /// Maximum number of lines; the rest is cut off.
    pub max_lines: Option<i64>,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// Markdown.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Markdown {
    /// The text.
    pub value: String,
    /// Whether updates append to the text.
    pub streaming: Option<bool>,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// A badge: a short label.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Badge {
    /// Label.
    pub label: String,
    /// Colour.
    pub color: Option<BadgeColor>,
    /// Style of the fill.
    pub variant: Option<BadgeVariant>,
    /// Size.
    pub size: Option<BadgeSize>,
    /// Whether the ends are fully rounded.
    pub pill: Option<bool>,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// An icon.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Icon {
    /// Name of the icon.
    pub name: IconName,
    /// Colour.
    pub color: Option<Color>,
    /// Size.
    pub size: Option<IconSize>,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// An image.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// URL.
    pub src: String,
    /// Alternative text.
    pub alt: Option<String>,
    /// CSS `object-fit`.
    pub fit: Option<ImageFit>,
    /// Position of the image in its frame.
    pub position: Option<ImagePosition>,
    /// Radius of the corners.
    pub radius: Option<Radius>,
    /// Whether it has a frame.
    pub frame: Option<bool>,
    /// Whether it reaches the edges of its container.
    pub flush: Option<bool>,
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
    /// Margin.
    pub margin: Option<Padding>,
    /// Background.
    pub background: Option<Color>,
    /// Width divided by height.
    pub aspect_ratio: Option<Length>,
    /// CSS `flex`.
    pub flex: Option<Length>,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

tokens! {
    /// Font weight.
    FontWeight { Normal = "normal", Medium = "medium", Semibold = "semibold", Bold = "bold" }
    /// Text alignment.
    TextAlign { Start = "start", Center = "center", End = "end" }
    /// Size of a text.
    TextSize { Xs = "xs", Sm = "sm", Md = "md", Lg = "lg", Xl = "xl" }
    /// Size of a heading.
    TitleSize {
        Sm = "sm", Md = "md", Lg = "lg", Xl = "xl", Xl2 = "2xl", Xl3 = "3xl", Xl4 = "4xl", Xl5 = "5xl",
    }
    /// Size of a small text.
    CaptionSize { Sm = "sm", Md = "md", Lg = "lg" }
    /// Size of an icon.
    IconSize { Xs = "xs", Sm = "sm", Md = "md", Lg = "lg", Xl = "xl", Xl2 = "2xl", Xl3 = "3xl" }
    /// Colour of a badge.
    BadgeColor {
        Secondary = "secondary", Success = "success", Danger = "danger", Warning = "warning", Info = "info",
        Discovery = "discovery",
    }
    /// Style of the fill of a badge.
    BadgeVariant { Solid = "solid", Soft = "soft", Outline = "outline" }
    /// Size of a badge.
    BadgeSize { Sm = "sm", Md = "md", Lg = "lg" }
    /// How an image fits its frame.
    ImageFit { Cover = "cover", Contain = "contain", Fill = "fill", ScaleDown = "scale-down", None = "none" }
    /// Position of an image in its frame.
    ImagePosition {
        TopLeft = "top left", Top = "top", TopRight = "top right", Left = "left", Center = "center", Right = "right",
        BottomLeft = "bottom left", Bottom = "bottom", BottomRight = "bottom right",
    }
}
