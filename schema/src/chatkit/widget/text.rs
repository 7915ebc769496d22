//! What is read and looked at: text, badges, icons, images.

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
    /// Whether more of it comes in updates.
    pub streaming: Option<bool>,
    /// Whether it leans.
    pub italic: Option<bool>,
    /// Whether it is struck through.
    pub line_through: Option<bool>,
    /// Its colour.
    pub color: Option<Color>,
    /// How bold it is.
    pub weight: Option<FontWeight>,
    /// How wide it may be.
    pub width: Option<Length>,
    /// Its size.
    pub size: Option<TextSize>,
    /// Where it stands.
    pub text_align: Option<TextAlign>,
    /// Whether it is cut with an ellipsis.
    pub truncate: Option<bool>,
    /// Lines to leave room for.
    pub min_lines: Option<i64>,
    /// Lines after which it is cut.
    pub max_lines: Option<i64>,
    /// Whether and how the user may change it.
    pub editable: Option<Editable>,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// Whether and how a text may be changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Editable {
    /// `false`: not at all.
    Not(bool),
    /// As a field of a form.
    As(EditableProps),
}

/// The field that a text is.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EditableProps {
    /// Name of the field.
    pub name: String,
    /// Whether it has the focus when it appears.
    pub auto_focus: Option<bool>,
    /// Whether all of it is selected when it gets the focus.
    pub auto_select: Option<bool>,
    /// What the browser may fill in.
    pub auto_complete: Option<String>,
    /// Whether password managers may show themselves.
    pub allow_autofill_extensions: Option<bool>,
    /// A regular expression that it must match.
    pub pattern: Option<String>,
    /// Stands in it while it is empty.
    pub placeholder: Option<String>,
    /// Whether it must be filled in.
    pub required: Option<bool>,
}

/// A headline.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Title {
    /// The text.
    pub value: String,
    /// Its colour.
    pub color: Option<Color>,
    /// How bold it is.
    pub weight: Option<FontWeight>,
    /// Its size.
    pub size: Option<TitleSize>,
    /// Where it stands.
    pub text_align: Option<TextAlign>,
    /// Whether it is cut with an ellipsis.
    pub truncate: Option<bool>,
    /// Lines after which it is cut.
    pub max_lines: Option<i64>,
    /// What every component has.
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
    /// Its colour.
    pub color: Option<Color>,
    /// How bold it is.
    pub weight: Option<FontWeight>,
    /// Its size.
    pub size: Option<CaptionSize>,
    /// Where it stands.
    pub text_align: Option<TextAlign>,
    /// Whether it is cut with an ellipsis.
    pub truncate: Option<bool>,
    /// Lines after which it is cut.
    pub max_lines: Option<i64>,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// Markdown.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Markdown {
    /// The text.
    pub value: String,
    /// Whether more of it comes in updates.
    pub streaming: Option<bool>,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// A short mark.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Badge {
    /// What it says.
    pub label: String,
    /// Its colour.
    pub color: Option<BadgeColor>,
    /// How it is filled.
    pub variant: Option<BadgeVariant>,
    /// Its size.
    pub size: Option<BadgeSize>,
    /// Whether its ends are round.
    pub pill: Option<bool>,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// An icon.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Icon {
    /// Which.
    pub name: IconName,
    /// Its colour.
    pub color: Option<Color>,
    /// Its size.
    pub size: Option<IconSize>,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// An image.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Where it is.
    pub src: String,
    /// What it shows, in words.
    pub alt: Option<String>,
    /// How it fills its frame.
    pub fit: Option<ImageFit>,
    /// What of it is in sight.
    pub position: Option<ImagePosition>,
    /// How round its corners are.
    pub radius: Option<Radius>,
    /// Whether it has a frame.
    pub frame: Option<bool>,
    /// Whether it goes to the edges of its container.
    pub flush: Option<bool>,
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
    /// Room outside.
    pub margin: Option<Padding>,
    /// What stands behind it.
    pub background: Option<Color>,
    /// Width divided by height.
    pub aspect_ratio: Option<Length>,
    /// How it grows and shrinks.
    pub flex: Option<Length>,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

tokens! {
    /// How bold a text is.
    FontWeight { Normal = "normal", Medium = "medium", Semibold = "semibold", Bold = "bold" }
    /// Where a text stands.
    TextAlign { Start = "start", Center = "center", End = "end" }
    /// Size of a text.
    TextSize { Xs = "xs", Sm = "sm", Md = "md", Lg = "lg", Xl = "xl" }
    /// Size of a headline.
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
    /// How a badge is filled.
    BadgeVariant { Solid = "solid", Soft = "soft", Outline = "outline" }
    /// Size of a badge.
    BadgeSize { Sm = "sm", Md = "md", Lg = "lg" }
    /// How an image fills its frame.
    ImageFit { Cover = "cover", Contain = "contain", Fill = "fill", ScaleDown = "scale-down", None = "none" }
    /// What of an image is in sight.
    ImagePosition {
        TopLeft = "top left", Top = "top", TopRight = "top right", Left = "left", Center = "center", Right = "right",
        BottomLeft = "bottom left", Bottom = "bottom", BottomRight = "bottom right",
    }
}
