//! `items.*`

use crate::attachments::Attachments;
use crate::error::Error;
use crate::page;
use crate::rpc::call::CallContext;
use crate::rpc::registry::Registry;
use crate::store::{Clock, ItemPage, Store};
use crate::wire;
use std::collections::BTreeSet;
use std::sync::Arc;
use threadline_schema::ids::ItemId;
use threadline_schema::items::{
    Feedback, ItemsFeedback, ItemsFeedbackParams, ItemsList, ItemsListFeedback, ItemsListFeedbackParams,
    ItemsListParams, ItemsPage, Summary,
};
use threadline_schema::page::{MAX_LIMIT, Order, Page};
use threadline_schema::threads::Done;

/// Handlers of `items.*`.
pub(crate) struct ItemMethods {
    pub(crate) store: Store,
    pub(crate) clock: Arc<Clock>,
    pub(crate) attachments: Arc<Attachments>,
}

impl ItemMethods {
    pub(crate) fn register(self, registry: &mut Registry) {
        registry
            .namespace(self)
            .command(ItemsList, Self::list)
            .command(ItemsFeedback, Self::feedback)
            .command(ItemsListFeedback, Self::list_feedback);
    }

    async fn list(self: Arc<Self>, call: CallContext, params: ItemsListParams) -> Result<ItemsPage, Error> {
        let query = ItemPage {
            limit: page::limit(params.limit, page::MAX)?,
            order: params.order.unwrap_or(Order::Desc),
            after: page::id_cursor(params.after.as_deref())?,
            hidden: false,
        };
        let (mut items, has_more) = self.store.items_page(call.user_id()?, params.thread_id, query).await?;
        items.iter_mut().for_each(|item| self.attachments.renew_previews(item));
        let Page { data, has_more, after } = wire::item_page(items, has_more)?;
        let summary = match params.include_summary {
            Some(true) => self.store.thread_summary_with_end(params.thread_id).await?,
            _ => None,
        };
        let summary = summary.map(|(row, end)| Summary {
            text: row.text,
            through_item_id: end,
            updated_at: row.updated_at.utc(),
        });
        Ok(ItemsPage { data, has_more, after, summary })
    }

    async fn feedback(self: Arc<Self>, call: CallContext, params: ItemsFeedbackParams) -> Result<Done, Error> {
        let ItemsFeedbackParams { thread_id, item_ids, kind } = params;
        let count = u32::try_from(item_ids.len()).unwrap_or(u32::MAX);
        if !(1..=MAX_LIMIT).contains(&count) {
            return Err(Error::invalid(format!("`item_ids` must name 1 to {MAX_LIMIT} items; it names {count}.")));
        }
        let item_ids: BTreeSet<ItemId> = item_ids.into_iter().collect();
        let distinct = item_ids.len() as u64;
        let user_id = call.user_id()?;
        self.store.feedback_give(user_id, thread_id, item_ids, kind, self.clock.now()).await?;
        metrics::counter!("threadline_feedback_total", "kind" => kind.name()).increment(distinct);
        Ok(Done {})
    }

    async fn list_feedback(
        self: Arc<Self>,
        call: CallContext,
        params: ItemsListFeedbackParams,
    ) -> Result<Page<Feedback>, Error> {
        let limit = page::limit(params.limit, page::MAX)?;
        let after = page::id_cursor(params.after.as_deref())?;
        let (user_id, thread_id) = (call.user_id()?, params.thread_id);
        let (rows, has_more) = self.store.feedback_page(user_id, thread_id, limit, after).await?;
        let after = rows.last().filter(|_| has_more).map(|row| row.item_id.to_string());
        Ok(Page { data: rows.into_iter().map(wire::feedback).collect(), has_more, after })
    }
}
