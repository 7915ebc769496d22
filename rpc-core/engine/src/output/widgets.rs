//! Widgets that show the results of tool calls.

use super::run_writer::RunWriter;
use threadline_schema::chatkit::{Extra, ThreadItem, WidgetItem};
use threadline_schema::event::ThreadStreamEvent;
use threadline_schema::ids::ItemId;
use threadline_schema::items::ItemKind;
use threadline_schema::tool_result::WidgetView;
use threadline_store::rows::FencingToken;
use threadline_store::{Store, StoreResult};

impl RunWriter {
    /// Shows the widgets of finished calls before the words that follow. They are stored first, so that the user can
    /// use them at once.
    ///
    /// # Errors
    /// Those of [`store_items`](Self::store_items).
    pub async fn show_widgets(&mut self, store: &Store, token: FencingToken) -> StoreResult<()> {
        if self.widgets.is_empty() || self.message.is_some() {
            return Ok(());
        }
        self.close_thoughts();
        self.close_workflow();
        let ids = self.close_widgets();
        self.begun.extend(ids.into_iter().filter(|_| self.replaces_answer));
        self.store_items(store, token).await
    }

    /// Takes the widgets of finished calls: the caller shows them in another way.
    pub fn take_widgets(&mut self) -> impl Iterator<Item = WidgetView> + use<> {
        std::mem::take(&mut self.widgets).into_values()
    }

    /// Makes items of the widgets. They are announced when they are stored. Returns their ids.
    pub(super) fn close_widgets(&mut self) -> Vec<ItemId> {
        let mut ids = Vec::new();
        for WidgetView { widget, copy_text, .. } in self.take_widgets() {
            let (id, now) = (self.clock.new_id::<ItemId>(), self.clock.now());
            let (thread_id, created_at, extra) = (self.thread_id, now.utc(), Extra::default());
            let item = ThreadItem::Widget(WidgetItem { id, thread_id, created_at, widget, copy_text, extra });
            self.store_later(id, ItemKind::Widget, false, &item, now);
            self.announce_later(&ThreadStreamEvent::ItemDone { item: Box::new(item) });
            ids.push(id);
        }
        ids
    }
}
