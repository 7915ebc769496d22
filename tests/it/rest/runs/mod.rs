//! `/api/v1/chatkit/.../runs`: answers, and everything that can become of one.

mod actions;
mod answers;
mod calls;
mod cancel;
mod late_status;
mod readers;
mod retry;
mod thoughts;
mod tools;
mod waiting;
