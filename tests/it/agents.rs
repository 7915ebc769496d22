//! Agents from a file: who answers, with which model, and what a message may ask for.

mod choice;
mod fallback;
mod file;
mod reload;
