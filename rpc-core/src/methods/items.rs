//! `items.*`

use crate::context::Cx;
use crate::error::Error;
use crate::page;
use crate::registry::Registry;
use crate::store::ItemPage;
use crate::wire;
use threadline_schema::chatkit::ThreadItem;
use threadline_schema::items::{ItemsList, ItemsListParams};
use threadline_schema::page::{Order, Page, Raw};

pub(super) fn register(registry: &mut Registry) {
    registry.method::<ItemsList, _, _>(list);
}

async fn list(cx: Cx, params: ItemsListParams) -> Result<Page<Raw<ThreadItem>>, Error> {
    let query = ItemPage {
        limit: page::limit(params.limit, page::MAX)?,
        order: params.order.unwrap_or(Order::Desc),
        after: page::id_cursor(params.after.as_deref())?,
        hidden: false,
    };
    let found = cx.core.store.items_page(cx.user_id()?.into(), params.thread_id.into(), query).await;
    let (items, has_more) = found.map_err(Error::of_thread)?;
    wire::item_page(items, has_more)
}
