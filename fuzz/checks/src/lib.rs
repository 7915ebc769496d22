//! Properties that hold for arbitrary bytes. Each function panics if its property does not hold.
//!
//! The fuzz targets in `fuzz/fuzz_targets` call these functions, and so do the tests of this crate: with seeds, with
//! damaged seeds and with random bytes, for a few seconds, on stable.

// A violated property must panic: that is how a fuzzer and a test notice it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod agents_file;
mod event_codec;
mod rest_binder;
mod stream_decoder;

pub use agents_file::check_agents_file;
pub use event_codec::check_event_codec;
pub use rest_binder::check_rest_binder;
pub use stream_decoder::check_stream_decoder;

/// Calls a check with each seed, with damaged seeds, and with random bytes.
#[cfg(test)]
fn run_bounded(check: fn(&[u8]), seeds: &[Vec<u8>]) {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::{Index, select};
    use proptest::test_runner::{Config, TestRunner};

    for seed in seeds {
        check(seed);
    }
    let damage = (any::<Index>(), 0..30_usize, vec(any::<u8>(), 0..8));
    let damaged = (select(seeds.to_vec()), vec(damage, 1..5)).prop_map(|(mut bytes, damages)| {
        for (at, removed, inserted) in damages {
            let at = at.index(bytes.len() + 1);
            let end = (at + removed).min(bytes.len());
            bytes.splice(at..end, inserted);
        }
        bytes
    });
    let strategy = prop_oneof![3 => damaged, 1 => vec(any::<u8>(), 0..500)];
    let mut runner = TestRunner::new(Config { cases: 500, failure_persistence: None, ..Config::default() });
    runner
        .run(&strategy, |bytes| {
            check(&bytes);
            Ok(())
        })
        .unwrap();
}
