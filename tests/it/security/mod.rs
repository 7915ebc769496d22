//! What strangers, web pages and hostile clients may cost. SECURITY.md names these tests beside the requirements.

mod actions;
mod agents;
mod batches;
mod budgets;
pub mod by_schema;
mod connections;
mod erased;
mod headers;
mod idor;
mod locked;
mod logins;
mod logs;
mod messages;
mod ops;
mod pages;
mod revocation;
mod secrets;
mod sockets;
mod tools;
mod uploads;
