//! The way of a token through the service, without its sockets: written as an event, appended to the run's log, read
//! from it by each subscriber, and written as SSE.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use threadline_core::bench::Log;
use threadline_gateway::bench::write_event;
use threadline_schema::ids::ItemId;

/// Tokens of one response.
const TOKENS: u64 = 1_000;
const DELTA: &str = " a word or two";

fn tokens(criterion: &mut Criterion) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return eprintln!("no runtime, so nothing is measured");
    };
    let item = ItemId::random();
    let mut group = criterion.benchmark_group("tokens");
    for readers in [1, 10] {
        group.throughput(Throughput::Elements(TOKENS * readers));
        group.bench_function(format!("{readers} readers"), |bencher| {
            bencher.to_async(&runtime).iter(|| async move {
                let log = Log::default();
                let mut feeds: Vec<_> = (0..readers).map(|_| log.feed()).collect();
                let mut out = Vec::with_capacity(1024);
                let mut written = 0;
                for _ in 0..TOKENS {
                    log.append_text(item, black_box(DELTA));
                    for feed in &mut feeds {
                        // The event is there, so this does not wait.
                        if let Some(frame) = feed.next().await {
                            out.clear();
                            write_event(&mut out, &frame);
                            black_box(&out);
                            written += 1;
                        }
                    }
                }
                assert_eq!(written, TOKENS * readers);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, tokens);
criterion_main!(benches);
