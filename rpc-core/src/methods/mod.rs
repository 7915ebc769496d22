//! The handlers of the methods, one file per namespace: they check the params, ask the store and the engine, and return
//! wire types. `core.rs` makes and registers them. Those of `tasks.*` are in `todo/methods.rs`.

mod admin;
mod attachments;
mod auth;
mod input;
mod items;
mod runs;
mod system;
mod threads;
mod usage;

pub(crate) use admin::AdminMethods;
pub(crate) use attachments::AttachmentMethods;
pub(crate) use auth::AuthMethods;
pub(crate) use input::InputMethods;
pub(crate) use items::ItemMethods;
pub(crate) use runs::RunMethods;
pub(crate) use system::SystemMethods;
pub(crate) use threads::ThreadMethods;
pub(crate) use usage::UsageMethods;
