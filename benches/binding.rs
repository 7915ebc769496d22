//! The work of the gateway before it calls the core: find the row of the table, build the params.

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Uri};
use std::hint::black_box;
use threadline_gateway::bench::Table;
use threadline_gateway::rule::Verb;

const SESSION: &str = "0198c2a4-7f7e-7bb1-9d7a-3a1f0c8e5d42";

fn binding(criterion: &mut Criterion) {
    let table = Table::of_the_api();
    let headers = HeaderMap::new();
    let message =
        br#"{"message":{"role":"user","content":[{"type":"input_text","text":"What is on my list today?"}]}}"#;
    let requests: [(&str, Verb, String, &[u8]); 3] = [
        ("path", Verb::Get, format!("/api/v1/chatkit/sessions/{SESSION}"), b""),
        ("query", Verb::Get, "/api/v1/chatkit/sessions?limit=20&after=1763719200000000_x".to_owned(), b""),
        ("body", Verb::Post, format!("/api/v1/chatkit/sessions/{SESSION}/threads/{SESSION}/runs"), message),
    ];
    let mut group = criterion.benchmark_group("match and bind");
    for (name, verb, uri, body) in requests {
        let Ok(uri) = uri.parse::<Uri>() else { continue };
        assert!(table.bind(verb, &uri, &headers, body).is_some(), "{uri} is not a request of the table");
        group.bench_function(name, |bencher| {
            bencher.iter(|| table.bind(verb, black_box(&uri), &headers, black_box(body)));
        });
    }
    group.finish();
}

criterion_group!(benches, binding);
criterion_main!(benches);
