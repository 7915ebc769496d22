//! The REST API: a file for each part of its paths, and for each property of all of them.

pub mod attachments;
mod auth;
mod bodies;
mod changes;
mod come_back;
mod feedback;
mod follow;
mod head;
mod health;
mod idempotency;
mod items;
mod limits;
mod ownership;
mod runs;
mod sessions;
mod strict_model;
mod tasks;
mod usage;
