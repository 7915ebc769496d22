//! The number of rounds, the random seed and the report of a harness.

use std::time::{Duration, Instant};

/// One run of a harness.
pub struct Trial {
    name: &'static str,
    pub rng: fastrand::Rng,
    began: Instant,
}

impl Trial {
    /// Prints the seed.
    pub fn begin(name: &'static str) -> Self {
        let seed = number("DURABILITY_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000_000));
        eprintln!("{name}: DURABILITY_SEED={seed}");
        Self { name, rng: fastrand::Rng::with_seed(seed), began: Instant::now() }
    }

    /// Returns the number of rounds: `few`, or `DURABILITY_ROUNDS`.
    pub fn rounds(&self, few: usize) -> usize {
        number("DURABILITY_ROUNDS").map_or(few, |rounds| usize::try_from(rounds).unwrap())
    }

    /// Returns another random generator, for a concurrent task.
    pub fn fork(&mut self) -> fastrand::Rng {
        self.rng.fork()
    }

    /// Returns a random time up to `most`.
    pub fn some(&mut self, most: Duration) -> Duration {
        some(&mut self.rng, most)
    }

    /// Prints the result.
    pub fn report(&self, found: impl std::fmt::Display) {
        eprintln!("{}: {found} ({:.1} s)", self.name, self.began.elapsed().as_secs_f64());
    }
}

/// Returns a random time up to `most`.
pub fn some(rng: &mut fastrand::Rng, most: Duration) -> Duration {
    most.mul_f64(rng.f64())
}

/// Returns the median and the maximum of some times, for a report.
pub fn spread(times: &mut [Duration]) -> String {
    times.sort();
    match (times.get(times.len() / 2), times.last()) {
        (Some(middle), Some(worst)) => {
            format!("{} ms in the middle, {} ms at worst", middle.as_millis(), worst.as_millis())
        }
        _ => "none".to_owned(),
    }
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} must be a number, and is {value:?}")))
}
