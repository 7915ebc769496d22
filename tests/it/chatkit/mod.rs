//! `POST /chatkit`: ChatKit's own endpoint, and its protocol as the package for Python has it.

mod errors;
mod leaving;
mod requests;
