//! `items.*`: the entries of a thread.

use crate::chatkit::{FeedbackKind, ThreadItem};
use crate::page::{Order, Page, Raw};
use crate::threads::Done;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

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
