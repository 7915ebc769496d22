//! Lengths, colours and spacing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Number;
use serde_with::skip_serializing_none;

/// Enums of the protocol's design tokens.
macro_rules! tokens {
    ($($(#[$meta:meta])* $name:ident { $($variant:ident = $token:literal),+ $(,)? })+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[allow(missing_docs, reason = "the names are the tokens'")]
        pub enum $name { $(#[serde(rename = $token)] $variant),+ }
    )+};
}
pub(super) use tokens;

/// A length: a number, of pixels or of spacing units, or CSS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Length {
    /// Pixels or spacing units.
    Number(Number),
    /// CSS.
    Css(String),
}

/// A colour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Color {
    /// A token such as `secondary` or `red-100`, or CSS.
    Name(String),
    /// One for each theme.
    Themed(ThemeColor),
}

/// A colour for each theme.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThemeColor {
    /// In the dark theme.
    pub dark: String,
    /// In the light theme.
    pub light: String,
}

/// Room around something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Padding {
    /// The same on all sides.
    All(Length),
    /// By side.
    Sides(Spacing),
}

/// Room by side.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spacing {
    /// Above.
    pub top: Option<Length>,
    /// To the right.
    pub right: Option<Length>,
    /// Below.
    pub bottom: Option<Length>,
    /// To the left.
    pub left: Option<Length>,
    /// Left and right.
    pub x: Option<Length>,
    /// Above and below.
    pub y: Option<Length>,
}

tokens! {
    /// A theme that is forced.
    Theme { Light = "light", Dark = "dark" }
    /// How round corners are.
    Radius {
        Xs2 = "2xs", Xs = "xs", Sm = "sm", Md = "md", Lg = "lg", Xl = "xl", Xl2 = "2xl", Xl3 = "3xl", Xl4 = "4xl",
        Full = "full", Percent100 = "100%", None = "none",
    }
}
