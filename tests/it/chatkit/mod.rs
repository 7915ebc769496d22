//! `POST /chatkit`: ChatKit's own endpoint, and its protocol as the package for Python has it.

mod attachments;
mod citations;
mod differential;
mod ends;
mod errors;
mod leaving;
mod models;
mod payloads;
mod python;
mod requests;
mod titles;
mod turns;
