//! The handlers of the methods, one file per namespace: they check the params, ask the store and the engine, and return
//! wire types.

mod attachments;
mod auth;
mod input;
mod items;
mod runs;
mod system;
mod threads;
mod usage;

use super::registry::{DuplicateMethod, Registry};
use crate::core::Core;
use crate::todo::TaskMethods;
use std::sync::Arc;

/// Registers every method of the contract.
pub(super) fn registry(core: &Arc<Core>) -> Result<Registry, DuplicateMethod> {
    let (store, streams) = (core.store.clone(), core.streams.clone());
    let mut registry = Registry::default();
    auth::AuthMethods {
        store: store.clone(),
        passwords: core.passwords.clone(),
        tokens: core.tokens.clone(),
        clock: core.clock.clone(),
    }
    .register(&mut registry);
    threads::ThreadMethods { core: core.clone(), store: store.clone(), streams: streams.clone() }
        .register(&mut registry);
    items::ItemMethods { store: store.clone(), clock: core.clock.clone() }.register(&mut registry);
    runs::RunMethods { core: core.clone(), streams }.register(&mut registry);
    TaskMethods { todo: core.todo.clone() }.register(&mut registry);
    usage::UsageMethods { core: core.clone(), store }.register(&mut registry);
    attachments::AttachmentMethods { attachments: core.attachments.clone() }.register(&mut registry);
    input::InputMethods { model: core.model.clone() }.register(&mut registry);
    system::SystemMethods { core: core.clone() }.register(&mut registry);
    registry.build()
}
