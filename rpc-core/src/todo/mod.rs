//! The to-do list of a user.
//!
//! | file | holds |
//! | --- | --- |
//! | `service.rs` | [`TodoList`]: validation and database access, for methods and tools |
//! | `methods.rs` | the RPC methods `tasks.*` |
//! | `tools.rs` | the built-in tools of the model |
//! | `widget.rs` | the list as a widget, for `list_tasks` |
//!
//! Queries: `rpc-core/store/src/tasks.rs`. Method markers and wire types: `schema/src/tasks.rs`.

mod methods;
mod service;
mod tools;
mod widget;

pub(crate) use methods::TaskMethods;
pub(crate) use service::TodoList;
pub(crate) use tools::TOOLS;
