//! Widgets: trees of components that the front end draws.
//!
//! A component whose members fit its type is typed. Any other is kept as it came, like one whose type is not known here
//! at all: that is also why the small parts of components refuse members they do not know.

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
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

/// A component of a widget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum WidgetComponent {
    /// Plain text.
    Text(Box<Text>),
    /// A headline.
    Title(Box<Title>),
    /// Small text.
    Caption(Box<Caption>),
    /// Bars, lines and areas.
    Chart(Box<Chart>),
    /// A short mark.
    Badge(Box<Badge>),
    /// Markdown.
    Markdown(Box<Markdown>),
    /// A container with a direction.
    Box(Box<BoxContainer>),
    /// A container from left to right.
    Row(Box<Row>),
    /// A container from top to bottom.
    Col(Box<Col>),
    /// A line.
    Divider(Box<Divider>),
    /// An icon.
    Icon(Box<Icon>),
    /// An image.
    Image(Box<Image>),
    /// A row of a list.
    ListViewItem(Box<ListViewItem>),
    /// A button.
    Button(Box<Button>),
    /// A box to tick.
    Checkbox(Box<Checkbox>),
    /// Room.
    Spacer(Box<Spacer>),
    /// One of several options, in a menu.
    Select(Box<Select>),
    /// A date.
    DatePicker(Box<DatePicker>),
    /// A container whose fields are submitted together.
    Form(Box<Form>),
    /// A line of text to fill in.
    Input(Box<Input>),
    /// What a field is called.
    Label(Box<Label>),
    /// One of several options, all in sight.
    RadioGroup(Box<RadioGroup>),
    /// Lines of text to fill in.
    Textarea(Box<Textarea>),
    /// Animates its child.
    Transition(Box<Transition>),
    /// Anything else.
    #[serde(untagged)]
    Dynamic(DynamicComponent),
}

/// A component as it came.
// Its children stay untyped: trying to type them again, at each level above them, would cost twice as much per level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DynamicComponent {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// All other members.
    #[serde(flatten)]
    pub members: Extra,
}

/// What every component has.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Common {
    /// Tells it from its siblings when the widget is drawn again.
    pub key: Option<String>,
    /// Names it in updates.
    pub id: Option<String>,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}
