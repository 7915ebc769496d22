//! Widgets that results of tools are shown as.

use super::{Output, now};
use crate::store::rows::Claim;
use crate::store::{Store, StoreResult};
use crate::tools::WidgetView;
use crate::wire;
use threadline_schema::chatkit::{Extra, ThreadItem, ThreadStreamEvent, WidgetItem};
use uuid::Uuid;

impl Output {
    /// Shows what a result is shown as, before the words that follow: once it is stored, so that it can be used.
    ///
    /// # Errors
    /// Those of [`store`](Self::store), which this is like.
    pub(crate) async fn show(&mut self, store: &Store, claim: Claim) -> StoreResult<()> {
        if self.shown.is_empty() || self.message.is_some() {
            return Ok(());
        }
        self.close_thinking();
        self.close_workflow();
        let shown = self.show_widgets();
        self.begun.extend(shown.into_iter().filter(|_| self.replaces));
        self.store(store, claim).await
    }

    /// Takes what results would be shown as: it is shown otherwise.
    pub(crate) fn take_shown(&mut self) -> impl Iterator<Item = WidgetView> + use<> {
        std::mem::take(&mut self.shown).into_values()
    }

    /// Keeps the widgets that are to be shown, and tells of them when they are stored. Gives their ids.
    pub(super) fn show_widgets(&mut self) -> Vec<Uuid> {
        let mut ids = Vec::new();
        for WidgetView { widget, copy_text, .. } in self.take_shown() {
            let (id, thread_id, created_at) = (Uuid::now_v7(), self.thread_id, now());
            let item = WidgetItem { id, thread_id, created_at, widget, copy_text, extra: Extra::default() };
            let item = ThreadItem::Widget(item);
            self.keep(id, wire::WIDGET, false, &item, created_at);
            self.announce_later(&ThreadStreamEvent::ItemDone { item: Box::new(item) });
            ids.push(id);
        }
        ids
    }
}
