//! `/api/v1/chatkit/.../runs`: runs and their outcomes.

mod actions;
mod answers;
mod calls;
mod cancel;
mod context;
mod late_status;
mod readers;
mod retry;
mod thoughts;
mod tools;
mod waiting;
