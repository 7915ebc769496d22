//! A deterministic simulation of the engine: processes on one database that crash, freeze and come back, a database
//! that fails and loses replies, signals that are lost, late and doubled, and clients that disconnect and resume.
//!
//! Each seed is one scenario. The runtime has one thread and paused time, the store works in place, and every random
//! decision comes from the seed: a failure is repeated by `SIMULATION_SEED=n`. `SIMULATION_ROUNDS` and
//! `SIMULATION_SECONDS` make it longer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::disallowed_methods)]

mod chaos;
mod client;
mod driver;
mod fold;
mod invariants;
mod process;
mod scenario;

use std::time::{Duration, Instant};

/// Scenarios of a plain test run.
const DEFAULT_ROUNDS: u64 = 200;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} must be a number")))
}

#[test]
fn every_interleaving_keeps_the_promises() {
    let (first, rounds) = match number("SIMULATION_SEED") {
        Some(seed) => (seed, number("SIMULATION_ROUNDS").unwrap_or(1)),
        None => (0, number("SIMULATION_ROUNDS").unwrap_or(DEFAULT_ROUNDS)),
    };
    let limit = number("SIMULATION_SECONDS").map(Duration::from_secs);
    let template = scenario::Template::create();
    let started = Instant::now();
    let mut totals = scenario::Totals::default();
    let mut played = 0;
    for seed in first..first + rounds {
        if limit.is_some_and(|limit| started.elapsed() > limit) {
            break;
        }
        let outcome = std::panic::catch_unwind(|| scenario::play(seed, &template));
        match outcome {
            Ok(counts) => totals.add(&counts),
            Err(_) => panic!("seed {seed} failed; repeat it with SIMULATION_SEED={seed}"),
        }
        played += 1;
    }
    let minutes = started.elapsed().as_secs_f64() / 60.0;
    println!(
        "{played} scenarios in {:.1} s ({:.0} a minute): {totals:?}",
        minutes * 60.0,
        f64::from(u32::try_from(played).unwrap()) / minutes
    );
    assert!(totals.runs > played, "the scenarios start runs: {totals:?}");
    assert!(played < 50 || totals.continued > played / 20, "runs go on after their process has died: {totals:?}");
}

#[test]
fn the_same_seed_gives_the_same_scenario() {
    let template = scenario::Template::create();
    for seed in 0..12 {
        let (one, other) = (scenario::play(seed, &template), scenario::play(seed, &template));
        assert_eq!(one.trace, other.trace, "seed {seed}");
    }
}
