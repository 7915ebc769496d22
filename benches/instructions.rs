//! Does one operation so many times, for a program that counts instructions: `.ci/compare-speed` compares two commits.
//!
//! `cargo bench --bench instructions -- "threads.list of 10" 500`. The difference of two counts leaves out the start.

#![allow(unreachable_pub, reason = "shared with another benchmark")]
#![allow(clippy::print_stdout, reason = "a tool that prints")]

mod service;

use anyhow::{Context, Result};
use service::{Directory, OPERATIONS, Service};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let [name, times] = arguments.as_slice() else {
        // Also what `cargo test --benches` gets.
        OPERATIONS.iter().for_each(|name| println!("{name}"));
        return Ok(());
    };
    let times: u32 = times.parse().context("the second argument is a number")?;
    let directory = Directory::new()?;
    // One thread: what the scheduler does between several differs from time to time.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let service = Service::start(directory.path()).await?;
        for _ in 0..times {
            service.operation(name).await?;
        }
        Ok(())
    })
}
