//! The service for tests: the real binary on free ports, a separate database, and a scripted model server.

#![allow(dead_code, unused_imports, unused_macros, reason = "no test binary needs all of it")]

pub mod client;
pub mod collector;
pub mod database;
pub mod files;
pub mod paused_answer;
pub mod process;
pub mod provider;
pub mod proxy;
pub mod relay;
pub mod socket;
pub mod token;
pub mod upstream;

pub use client::{Client, Reply, Sse};
pub use process::{App, Setup};
pub use provider::{Provider, SigningKey};
pub use socket::Socket;
pub use upstream::{Gate, Script, Upstream};

use std::time::Duration;

/// Maximum time for anything that should be fast.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An agents file with an agent that has the client tool `get_location`, like the one in `tests/chatkit/tools.py`.
pub const WITH_CLIENT_TOOL: &str = r#"
[agents.assistant]
tools = ["built-in"]

[[agents.assistant.client_tools]]
name = "get_location"
description = "Where the user is."
parameters = '{"type": "object", "properties": {"precise": {"type": "boolean"}}}'
"#;

/// Runs a test on all deployments: both databases, with one process and with two.
///
/// Without a PostgreSQL server, its variants are skipped, or fail: see `threadline_test_requirements`.
#[macro_export]
macro_rules! everywhere {
    ($($tests:tt)+) => {
        $crate::in_variants! {
            [
                serve_sqlite { Some($crate::support::Setup::new().await) }
                split_sqlite { Some($crate::support::Setup::new().await.split()) }
                serve_postgres { $crate::support::Setup::postgres().await }
                split_postgres { $crate::support::Setup::postgres().await.map($crate::support::Setup::split) }
            ]
            $($tests)+
        }
    };
}

/// Runs a test with gateway and core in one process and in two, on SQLite: for what does not depend on the database.
#[macro_export]
macro_rules! serve_and_split {
    ($($tests:tt)+) => {
        $crate::in_variants! {
            [
                serve { Some($crate::support::Setup::new().await) }
                split { Some($crate::support::Setup::new().await.split()) }
            ]
            $($tests)+
        }
    };
}

/// Generates a module for each test, with a test for each variant. A variant says which service to start.
#[macro_export]
macro_rules! in_variants {
    ($variants:tt $( $(#[$meta:meta])* async fn $name:ident($setup:ident: Setup) $body:block )+) => { $(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            $(#[$meta])*
            async fn body($setup: $crate::support::Setup) $body

            $crate::in_variants! { @each $variants }
        }
    )+ };
    (@each [ $( $variant:ident $setup:block )+ ]) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $variant() {
            if let Some(setup) = $setup {
                body(setup).await;
            }
        }
    )+ };
}

/// An agents file whose agent ends its runs when their process dies.
pub const ENDS_WITH_ITS_PROCESS: &str = "[agents.a]\non_crash = \"interrupt\"\n";

/// Polls until there is a value; for what happens by itself and soon.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = std::time::Instant::now() + PATIENCE;
    while std::time::Instant::now() < deadline {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it did not happen: {what}");
}
