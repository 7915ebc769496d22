//! `items.*`: the entries of a thread.

use crate::chatkit::{FeedbackKind, ThreadItem};
use crate::ids::{ItemId, ThreadId};
use crate::page::{Order, Page, Raw};
use crate::threads::Done;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Kind of an item, with the name that the database and ChatKit use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "db",
    derive(diesel::expression::AsExpression, diesel::deserialize::FromSqlRow),
    diesel(sql_type = diesel::sql_types::Text)
)]
pub enum ItemKind {
    /// A message of the user.
    UserMessage,
    /// A message of the assistant.
    AssistantMessage,
    /// Tool calls or thoughts of a run, as the user sees them.
    Workflow,
    /// A call of a client tool.
    ClientToolCall,
    /// A widget.
    Widget,
    /// Questions to the user.
    StructuredInput,
    /// A note for the model. Clients never get it.
    HiddenContext,
    /// A tool call as the model made it. Clients never get it; the bodies of all other kinds are ChatKit items.
    ToolCall,
}

impl ItemKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::UserMessage,
        Self::AssistantMessage,
        Self::Workflow,
        Self::ClientToolCall,
        Self::Widget,
        Self::StructuredInput,
        Self::HiddenContext,
        Self::ToolCall,
    ];

    /// Returns whether it is a message of the user or of the assistant.
    pub const fn is_message(self) -> bool {
        matches!(self, Self::UserMessage | Self::AssistantMessage)
    }

    /// Returns the name in the database, which is the `type` of a ChatKit item.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UserMessage => "user_message",
            Self::AssistantMessage => "assistant_message",
            Self::Workflow => "workflow",
            Self::ClientToolCall => "client_tool_call",
            Self::Widget => "widget",
            Self::StructuredInput => "structured_input",
            Self::HiddenContext => "sdk_hidden_context",
            Self::ToolCall => "tool_call",
        }
    }

    /// Returns the kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Params of `items.list`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemsListParams {
    /// The thread.
    pub thread_id: ThreadId,
    /// Maximum number of items on the page, 1 to 100. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u32>,
    /// Order of the items. Default: newest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// The `after` of the previous page: the id of its last item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"))]
    pub after: Option<String>,
    /// Whether the result has the summary of the oldest items, if there is one. Default: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_summary: Option<bool>,
}

/// A page of the items of a thread.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct ItemsPage {
    /// The items.
    pub data: Vec<Raw<ThreadItem>>,
    /// Whether there is a next page.
    pub has_more: bool,
    /// Cursor of the next page: send it as `after`. Absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// What models read in place of the oldest items. Only if `include_summary` is true, and a summary has been
    /// written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

/// What models read in place of the oldest items of a thread, which do not fit into their context window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// The summary, written by a model.
    pub text: String,
    /// The last item that it includes.
    pub through_item_id: Option<ItemId>,
    /// When it was written.
    pub updated_at: DateTime<Utc>,
}

/// Params of `items.feedback`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemsFeedbackParams {
    /// The thread.
    pub thread_id: ThreadId,
    /// Items of this thread, 1 to 100: usually an assistant message and the items that led to it.
    #[schemars(length(min = 1, max = 100))]
    pub item_ids: Vec<ItemId>,
    /// Rating of the items.
    pub kind: FeedbackKind,
}

/// Params of `items.list_feedback`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemsListFeedbackParams {
    /// The thread.
    pub thread_id: ThreadId,
    /// Maximum number of items on the page, 1 to 100. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u32>,
    /// The `after` of the previous page: the id of its last item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"))]
    pub after: Option<String>,
}

/// The rating of an item by the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Feedback {
    /// The item.
    pub item_id: ItemId,
    /// The thread of the item.
    pub thread_id: ThreadId,
    /// The rating.
    pub kind: FeedbackKind,
    /// Time of the last rating.
    pub created_at: DateTime<Utc>,
}

crate::methods! {
    /// List the items of a conversation.
    ///
    /// Without hidden items, such as notes for the model and raw tool calls.
    ItemsList = "items.list" (User): ItemsListParams => ItemsPage;
    /// Rate items of a conversation.
    ///
    /// A new rating replaces the earlier one. All items must be visible items of this conversation, else nothing is
    /// stored.
    ItemsFeedback = "items.feedback" (User): ItemsFeedbackParams => Done;
    /// List the ratings of a conversation's items, newest item first.
    ItemsListFeedback = "items.list_feedback" (User): ItemsListFeedbackParams => Page<Feedback>;
}
