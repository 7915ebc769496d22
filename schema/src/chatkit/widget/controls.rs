//! What is clicked and chosen.

use super::Common;
use super::layout::Direction;
use super::style::tokens;
use crate::chatkit::{ActionConfig, IconName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

/// A button.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Button {
    /// Whether it submits the form it is in.
    pub submit: Option<bool>,
    /// What it says.
    pub label: Option<String>,
    /// What a click does.
    pub on_click_action: Option<ActionConfig>,
    /// Icon before the label.
    pub icon_start: Option<IconName>,
    /// Icon behind the label.
    pub icon_end: Option<IconName>,
    /// How much it stands out.
    pub style: Option<ButtonStyle>,
    /// Size of its icons.
    pub icon_size: Option<ButtonIconSize>,
    /// Its colour.
    pub color: Option<ButtonColor>,
    /// How it is filled.
    pub variant: Option<ControlVariant>,
    /// Its size.
    pub size: Option<ControlSize>,
    /// Whether its ends are round.
    pub pill: Option<bool>,
    /// Whether it is as wide as it is high.
    pub uniform: Option<bool>,
    /// Whether it is as wide as its container.
    pub block: Option<bool>,
    /// Whether it cannot be used.
    pub disabled: Option<bool>,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// A box to tick.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checkbox {
    /// Name of the field.
    pub name: String,
    /// What it says.
    pub label: Option<String>,
    /// Whether it is ticked at first.
    pub default_checked: Option<bool>,
    /// What a change does.
    pub on_change_action: Option<ActionConfig>,
    /// Whether it cannot be used.
    pub disabled: Option<bool>,
    /// Whether it must be ticked.
    pub required: Option<bool>,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// One of several options, in a menu.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Select {
    /// Name of the field.
    pub name: String,
    /// The options.
    pub options: Vec<SelectOption>,
    /// What a change does.
    pub on_change_action: Option<ActionConfig>,
    /// Stands in it while nothing is chosen.
    pub placeholder: Option<String>,
    /// The value at first.
    pub default_value: Option<String>,
    /// How it is filled.
    pub variant: Option<ControlVariant>,
    /// Its size.
    pub size: Option<ControlSize>,
    /// Whether its ends are round.
    pub pill: Option<bool>,
    /// Whether it is as wide as its container.
    pub block: Option<bool>,
    /// Whether the choice can be taken back.
    pub clearable: Option<bool>,
    /// Whether it cannot be used.
    pub disabled: Option<bool>,
    /// Whether options can be searched; by their number when absent.
    pub searchable: Option<bool>,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// An option of a menu.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SelectOption {
    /// What is submitted.
    pub value: String,
    /// What it says.
    pub label: String,
    /// Whether it cannot be chosen.
    pub disabled: Option<bool>,
    /// Stands below the label.
    pub description: Option<String>,
}

/// A date.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatePicker {
    /// Name of the field.
    pub name: String,
    /// What a change does.
    pub on_change_action: Option<ActionConfig>,
    /// Stands in it while nothing is chosen.
    pub placeholder: Option<String>,
    /// The value at first, as ISO 8601.
    pub default_value: Option<String>,
    /// The first that can be chosen, as ISO 8601.
    pub min: Option<String>,
    /// The last that can be chosen, as ISO 8601.
    pub max: Option<String>,
    /// How it is filled.
    pub variant: Option<ControlVariant>,
    /// Its size.
    pub size: Option<ControlSize>,
    /// Where the calendar opens.
    pub side: Option<PickerSide>,
    /// Where the calendar stands on that side.
    pub align: Option<PickerAlign>,
    /// Whether its ends are round.
    pub pill: Option<bool>,
    /// Whether it is as wide as its container.
    pub block: Option<bool>,
    /// Whether the choice can be taken back.
    pub clearable: Option<bool>,
    /// Whether it cannot be used.
    pub disabled: Option<bool>,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// One of several options, all in sight.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RadioGroup {
    /// Name of the field.
    pub name: String,
    /// The options.
    pub options: Option<Vec<RadioOption>>,
    /// What it is called for those who cannot see it.
    pub aria_label: Option<String>,
    /// What a change does.
    pub on_change_action: Option<ActionConfig>,
    /// The value at first.
    pub default_value: Option<String>,
    /// Its direction.
    pub direction: Option<Direction>,
    /// Whether it cannot be used.
    pub disabled: Option<bool>,
    /// Whether one must be chosen.
    pub required: Option<bool>,
    /// What every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// An option in sight.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RadioOption {
    /// What it says.
    pub label: String,
    /// What is submitted.
    pub value: String,
    /// Whether it cannot be chosen.
    pub disabled: Option<bool>,
}

tokens! {
    /// How much a button stands out.
    ButtonStyle { Primary = "primary", Secondary = "secondary" }
    /// Size of a button's icons.
    ButtonIconSize { Sm = "sm", Md = "md", Lg = "lg", Xl = "xl", Xl2 = "2xl" }
    /// Colour of a button.
    ButtonColor {
        Primary = "primary", Secondary = "secondary", Info = "info", Discovery = "discovery", Success = "success",
        Caution = "caution", Warning = "warning", Danger = "danger",
    }
    /// How a control is filled.
    ControlVariant { Solid = "solid", Soft = "soft", Outline = "outline", Ghost = "ghost" }
    /// Size of a control.
    ControlSize {
        Xs3 = "3xs", Xs2 = "2xs", Xs = "xs", Sm = "sm", Md = "md", Lg = "lg", Xl = "xl", Xl2 = "2xl", Xl3 = "3xl",
    }
    /// Where a calendar opens.
    PickerSide { Top = "top", Bottom = "bottom", Left = "left", Right = "right" }
    /// Where a calendar stands on its side.
    PickerAlign { Start = "start", Center = "center", End = "end" }
}
