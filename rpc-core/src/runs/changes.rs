//! What happens in a thread outside of its runs.
//!
//! Whoever changes a thread, or an item that was there, outside of a run says so here once it is committed. Those who
//! follow the thread then read it: what they are told is what the database says.

use crate::core::Core;
use uuid::Uuid;

/// The thread is another: its title or its status. All who follow it hear of it, in every process.
pub(crate) fn thread_changed(core: &Core, thread_id: Uuid) {
    say(core, thread_id, None);
}

/// An item of the thread is another, which no event of a run tells.
pub(crate) fn item_changed(core: &Core, thread_id: Uuid, item_id: Uuid) {
    say(core, thread_id, Some(item_id));
}

fn say(core: &Core, thread_id: Uuid, item_id: Option<Uuid>) {
    core.hub.changed(thread_id, item_id);
    core.signals.changed(thread_id, item_id);
}
