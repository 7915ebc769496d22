//! `items.*`: the entries of a thread.

use crate::chatkit::{FeedbackKind, ThreadItem};
use crate::page::{Order, Page, Raw};
use crate::threads::Done;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Kind of an item, as the database and ChatKit name it.
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
    /// A run's tool calls or thoughts, as the user sees them.
    Workflow,
    /// A call of a tool that the front end runs.
    ClientToolCall,
    /// A widget.
    Widget,
    /// Questions to the user.
    StructuredInput,
    /// A note to the model. Clients never see it.
    HiddenContext,
    /// A tool call as the model made it. Clients never see it; the bodies of all other kinds are ChatKit items.
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

    /// Whether it is a message of the user or of the assistant.
    pub const fn is_message(self) -> bool {
        matches!(self, Self::UserMessage | Self::AssistantMessage)
    }

    /// The name in the database, and the `type` of a ChatKit item.
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

    /// The kind called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Params of `items.list`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemsListParams {
    /// The thread.
    pub thread_id: Uuid,
    /// Items on the page, 1 to 100; 20 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Newest first when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// `after` of the page before, which is the id of its last item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Params of `items.feedback`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemsFeedbackParams {
    /// The thread.
    pub thread_id: Uuid,
    /// Items of this thread, 1 to 100: usually an answer with what led to it.
    pub item_ids: Vec<Uuid>,
    /// What the user thinks of them.
    pub kind: FeedbackKind,
}

/// Params of `items.list_feedback`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemsListFeedbackParams {
    /// The thread.
    pub thread_id: Uuid,
    /// Items on the page, 1 to 100; 20 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `after` of the page before, which is the id of its last item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What the user thinks of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Feedback {
    /// The item.
    pub item_id: Uuid,
    /// Its thread.
    pub thread_id: Uuid,
    /// What the user thinks of it.
    pub kind: FeedbackKind,
    /// When the user last said so.
    pub created_at: DateTime<Utc>,
}

crate::methods! {
    /// The items of a conversation, page by page.
    ///
    /// Hidden items, such as notes to the model and raw tool calls, are never among them.
    ItemsList = "items.list" (User): ItemsListParams => Page<Raw<ThreadItem>>;
    /// Say whether items of a conversation were good.
    ///
    /// The last word about an item counts. All of the items must be of this conversation and visible, or nothing is
    /// stored.
    ItemsFeedback = "items.feedback" (User): ItemsFeedbackParams => Done;
    /// What the user thinks of a conversation's items, newest item first.
    ItemsListFeedback = "items.list_feedback" (User): ItemsListFeedbackParams => Page<Feedback>;
}
