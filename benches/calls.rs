//! Whole calls in one process, as the gateway makes them in `serve` mode: pipeline, method, SQLite, reply.

#![allow(unreachable_pub, reason = "shared with another benchmark")]

mod service;

use anyhow::Result;
use criterion::Criterion;
use service::{Directory, OPERATIONS, Service};
use tokio::runtime::Runtime;

fn main() -> Result<()> {
    let directory = Directory::new()?;
    let runtime = Runtime::new()?;
    let service = runtime.block_on(Service::start(directory.path()))?;
    let mut criterion = Criterion::default().configure_from_args();
    for name in OPERATIONS {
        // The benchmark must measure a success.
        runtime.block_on(service.operation(name))?;
        criterion.bench_function(name, |bencher| bencher.to_async(&runtime).iter(|| service.operation(name)));
    }
    criterion.final_summary();
    Ok(())
}
