//! One file per namespace: params in, store and runs asked, wire types out.

mod attachments;
mod auth;
mod input;
mod items;
mod runs;
mod system;
mod threads;
mod usage;

use crate::core::Core;
use crate::rpc::registry::{Registered, Registry};
use crate::todo;
use std::sync::Arc;

/// Registers every method of the contract.
pub(crate) fn register_all(core: Arc<Core>) -> Result<Registered, String> {
    let mut registry = Registry::new(core);
    auth::register(&mut registry);
    threads::register(&mut registry);
    items::register(&mut registry);
    runs::register(&mut registry);
    todo::register(&mut registry);
    usage::register(&mut registry);
    attachments::register(&mut registry);
    input::register(&mut registry);
    system::register(&mut registry);
    registry.finish()
}
