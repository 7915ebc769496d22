//! Buttons, checkboxes, menus and date pickers.

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
    /// Whether it submits its form.
    pub submit: Option<bool>,
    /// Label.
    pub label: Option<String>,
    /// Action of a click.
    pub on_click_action: Option<ActionConfig>,
    /// Icon before the label.
    pub icon_start: Option<IconName>,
    /// Icon after the label.
    pub icon_end: Option<IconName>,
    /// Emphasis.
    pub style: Option<ButtonStyle>,
    /// Size of the icons.
    pub icon_size: Option<ButtonIconSize>,
    /// Colour.
    pub color: Option<ButtonColor>,
    /// Style of the fill.
    pub variant: Option<ControlVariant>,
    /// Size.
    pub size: Option<ControlSize>,
    /// Whether the ends are fully rounded.
    pub pill: Option<bool>,
    /// Whether its width equals its height.
    pub uniform: Option<bool>,
    /// Whether it takes the full width of its container.
    pub block: Option<bool>,
    /// Whether it is disabled.
    pub disabled: Option<bool>,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// A checkbox.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checkbox {
    /// Name of the form field.
    pub name: String,
    /// Label.
    pub label: Option<String>,
    /// Whether it is checked initially.
    pub default_checked: Option<bool>,
    /// Action of a change.
    pub on_change_action: Option<ActionConfig>,
    /// Whether it is disabled.
    pub disabled: Option<bool>,
    /// Whether it must be checked.
    pub required: Option<bool>,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// A menu of options.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Select {
    /// Name of the form field.
    pub name: String,
    /// The options.
    pub options: Vec<SelectOption>,
    /// Action of a change.
    pub on_change_action: Option<ActionConfig>,
    /// Text that is shown while nothing is selected.
    pub placeholder: Option<String>,
    /// Initial value.
    pub default_value: Option<String>,
    /// Style of the fill.
    pub variant: Option<ControlVariant>,
    /// Size.
    pub size: Option<ControlSize>,
    /// Whether the ends are fully rounded.
    pub pill: Option<bool>,
    /// Whether it takes the full width of its container.
    pub block: Option<bool>,
    /// Whether the user can clear the selection.
    pub clearable: Option<bool>,
    /// Whether it is disabled.
    pub disabled: Option<bool>,
    /// Whether the options can be searched. Without it, that depends on their number.
    pub searchable: Option<bool>,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// An option of a menu.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SelectOption {
    /// Value of the form field.
    pub value: String,
    /// Label.
    pub label: String,
    /// Whether it is disabled.
    pub disabled: Option<bool>,
    /// Text below the label.
    pub description: Option<String>,
}

/// A date picker.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatePicker {
    /// Name of the form field.
    pub name: String,
    /// Action of a change.
    pub on_change_action: Option<ActionConfig>,
    /// Text that is shown while nothing is selected.
    pub placeholder: Option<String>,
    /// Initial value, as ISO 8601.
    pub default_value: Option<String>,
    /// Earliest date, as ISO 8601.
    pub min: Option<String>,
    /// Latest date, as ISO 8601.
    pub max: Option<String>,
    /// Style of the fill.
    pub variant: Option<ControlVariant>,
    /// Size.
    pub size: Option<ControlSize>,
    /// Side on which the calendar opens.
    pub side: Option<PickerSide>,
    /// Alignment of the calendar on that side.
    pub align: Option<PickerAlign>,
    /// Whether the ends are fully rounded.
    pub pill: Option<bool>,
    /// Whether it takes the full width of its container.
    pub block: Option<bool>,
    /// Whether the user can clear the selection.
    pub clearable: Option<bool>,
    /// Whether it is disabled.
    pub disabled: Option<bool>,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// A group of radio buttons.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RadioGroup {
    /// Name of the form field.
    pub name: String,
    /// The options.
    pub options: Option<Vec<RadioOption>>,
    /// Name for assistive technology.
    pub aria_label: Option<String>,
    /// Action of a change.
    pub on_change_action: Option<ActionConfig>,
    /// Initial value.
    pub default_value: Option<String>,
    /// Direction of the children.
    pub direction: Option<Direction>,
    /// Whether it is disabled.
    pub disabled: Option<bool>,
    /// Whether an option must be selected.
    pub required: Option<bool>,
    /// Members that every component has.
    #[serde(flatten)]
    pub common: Common,
}

/// A radio button.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RadioOption {
    /// Label.
    pub label: String,
    /// Value of the form field.
    pub value: String,
    /// Whether it is disabled.
    pub disabled: Option<bool>,
}

tokens! {
    /// Emphasis of a button.
    ButtonStyle { Primary = "primary", Secondary = "secondary" }
    /// Size of the icons of a button.
    ButtonIconSize { Sm = "sm", Md = "md", Lg = "lg", Xl = "xl", Xl2 = "2xl" }
    /// Colour of a button.
    ButtonColor {
        Primary = "primary", Secondary = "secondary", Info = "info", Discovery = "discovery", Success = "success",
        Caution = "caution", Warning = "warning", Danger = "danger",
    }
    /// Style of the fill of a control.
    ControlVariant { Solid = "solid", Soft = "soft", Outline = "outline", Ghost = "ghost" }
    /// Size of a control.
    ControlSize {
        Xs3 = "3xs", Xs2 = "2xs", Xs = "xs", Sm = "sm", Md = "md", Lg = "lg", Xl = "xl", Xl2 = "2xl", Xl3 = "3xl",
    }
    /// Side on which a calendar opens.
    PickerSide { Top = "top", Bottom = "bottom", Left = "left", Right = "right" }
    /// Alignment of a calendar on its side.
    PickerAlign { Start = "start", Center = "center", End = "end" }
}
