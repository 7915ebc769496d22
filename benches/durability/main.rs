//! The cost of durability and the time of recovery: the figures of docs/DURABILITY.md.
//!
//! `cargo bench --bench durability [-- NAME...]`: names are `cost`, `log`, `resume` and `recovery`; all without names.
//! Real processes of the release build; PostgreSQL if `TEST_DATABASE_URL` is set. The model server runs in this
//! process and uses a part of the machine, so compare figures of one run with each other only.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a tool that prints, and that has nobody to answer to"
)]
#![allow(unreachable_pub, dead_code, reason = "shared with the tests, of which it needs a part")]

mod measure;
#[path = "../../tests/durability/model.rs"]
mod model;
#[path = "../../tests/durability/reader.rs"]
mod reader;
#[path = "../../tests/durability/service.rs"]
mod service;
#[path = "../../tests/it/support/mod.rs"]
mod support;
#[path = "../../tests/durability/trial.rs"]
mod trial;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` only checks that it builds.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let names: Vec<&str> = arguments.iter().map(String::as_str).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| names.is_empty() || names.contains(&name);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        for database in ["sqlite", "postgres"] {
            if wanted("cost") {
                measure::cost(database).await;
            }
            if wanted("log") {
                measure::log(database).await;
            }
            if wanted("resume") {
                measure::resume(database).await;
            }
            if wanted("recovery") {
                measure::recovery(database).await;
            }
        }
    });
}
