//! `items.*`: the entries of a thread.

use crate::chatkit::ThreadItem;
use crate::page::{Order, Page, Raw};
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

crate::methods! {
    /// The items of a conversation, page by page.
    ///
    /// Hidden items, such as notes to the model and raw tool calls, are never among them.
    ItemsList = "items.list" (User): ItemsListParams => Page<Raw<ThreadItem>>;
}
