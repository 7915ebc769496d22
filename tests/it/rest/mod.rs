//! The REST API: a file for each part of its paths, and for each property of all of them.

mod accounts;
pub mod admin;
pub mod attachments;
mod auth;
mod bodies;
mod changes;
mod come_back;
mod erasure;
mod feedback;
mod follow;
mod head;
mod health;
mod idempotency;
mod items;
mod limits;
mod openid;
mod ownership;
mod provider;
pub mod registration;
mod retention;
mod runs;
mod service_keys;
mod sessions;
mod strict_model;
mod tasks;
mod usage;
