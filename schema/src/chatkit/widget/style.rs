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

/// A length: a number of pixels or spacing units, or CSS.
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
    /// One colour per theme.
    Themed(ThemeColor),
}

/// One colour per theme.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThemeColor {
    /// In the dark theme.
    pub dark: String,
    /// In the light theme.
    pub light: String,
}

/// Padding or margin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Padding {
    /// The same on all sides.
    All(Length),
    /// One per side.
    Sides(Spacing),
}

/// Padding or margin per side.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spacing {
    /// Top.
    pub top: Option<Length>,
    /// Right.
    pub right: Option<Length>,
    /// Bottom.
    pub bottom: Option<Length>,
    /// Left.
    pub left: Option<Length>,
    /// Left and right.
    pub x: Option<Length>,
    /// Top and bottom.
    pub y: Option<Length>,
}

tokens! {
    /// A theme.
    Theme { Light = "light", Dark = "dark" }
    /// Radius of corners.
    Radius {
        Xs2 = "2xs", Xs = "xs", Sm = "sm", Md = "md", Lg = "lg", Xl = "xl", Xl2 = "2xl", Xl3 = "3xl", Xl4 = "4xl",
        Full = "full", Percent100 = "100%", None = "none",
    }
}
