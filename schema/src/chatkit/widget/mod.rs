//! Widgets: trees of components that the front end renders.
//!
//! A component whose members fit its type is typed. Any other component is kept as it was received, as is one of an
//! unknown type. For that reason the small parts of components refuse unknown members.

mod charts;
mod controls;
mod fields;
mod layout;
mod roots;
mod style;
mod text;

pub use charts::{AreaSeries, BarSeries, Chart, CurveType, LineSeries, Series, XAxis, XAxisConfig};
pub use controls::{
    Button, ButtonColor, ButtonIconSize, ButtonStyle, Checkbox, ControlSize, ControlVariant, DatePicker, PickerAlign,
    PickerSide, RadioGroup, RadioOption, Select, SelectOption,
};
pub use fields::{GutterSize, Input, InputType, InputVariant, Label, Textarea};
pub use layout::{
    Alignment, Border, BorderStyle, Borders, BoxBorder, BoxContainer, Col, Direction, Divider, Edge, Form,
    Justification, Layout, Row, Spacer, Transition, Wrap,
};
pub use roots::{BasicRoot, Card, CardAction, CardSize, Children, DynamicRoot, ListLimit, ListView, RootType, Status};
pub use roots::{ListViewItem, WidgetRoot};
pub use style::{Color, Length, Padding, Radius, Spacing, Theme, ThemeColor};
pub use text::{
    Badge, BadgeColor, BadgeSize, BadgeVariant, Caption, CaptionSize, Editable, EditableProps, FontWeight, Icon,
    IconSize, Image, ImageFit, ImagePosition, Markdown, Text, TextAlign, TextSize, Title, TitleSize,
};

use super::Extra;
use super::by_value::by_value;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

/// A component of a widget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Self", tag = "type")]
#[schemars(rename = "WidgetComponent")]
pub enum WidgetComponent {
    /// Plain text.
    Text(Box<Text>),
    /// A heading.
    Title(Box<Title>),
    /// Small text.
    Caption(Box<Caption>),
    /// A chart with bars, lines and areas.
    Chart(Box<Chart>),
    /// A badge: a short label.
    Badge(Box<Badge>),
    /// Markdown.
    Markdown(Box<Markdown>),
    /// A container with a direction.
    Box(Box<BoxContainer>),
    /// A container that puts its children side by side.
    Row(Box<Row>),
    /// A container that puts its children below each other.
    Col(Box<Col>),
    /// A dividing line.
    Divider(Box<Divider>),
    /// An icon.
    Icon(Box<Icon>),
    /// An image.
    Image(Box<Image>),
    /// A row of a list.
    ListViewItem(Box<ListViewItem>),
    /// A button.
    Button(Box<Button>),
    /// A checkbox.
    Checkbox(Box<Checkbox>),
    /// Space that grows.
    Spacer(Box<Spacer>),
    /// A menu of options.
    Select(Box<Select>),
    /// A date picker.
    DatePicker(Box<DatePicker>),
    /// A form: its fields are submitted together.
    Form(Box<Form>),
    /// A text field of one line.
    Input(Box<Input>),
    /// The label of a field.
    Label(Box<Label>),
    /// A group of radio buttons.
    RadioGroup(Box<RadioGroup>),
    /// A text field of several lines.
    Textarea(Box<Textarea>),
    /// Animates its child.
    Transition(Box<Transition>),
    /// A component of an unknown type, or whose members do not fit its type.
    #[serde(untagged)]
    Dynamic(DynamicComponent),
}

by_value!(WidgetComponent);

/// A component that is kept as it was received.
// Its children stay untyped: typing them again at each level above them would double the cost per level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DynamicComponent {
    /// Type.
    #[serde(rename = "type")]
    pub kind: String,
    /// All other members.
    #[serde(flatten)]
    pub members: Extra,
}

/// Members that every component has.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Common {
    /// Identifies the component among its siblings when the widget is rendered again.
    pub key: Option<String>,
    /// Identifies the component in updates.
    pub id: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}
