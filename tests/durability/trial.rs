//! How often a harness tries, by which chance, and what it says about it.

use std::time::{Duration, Instant};

/// One harness at work.
pub struct Trial {
    name: &'static str,
    pub dice: fastrand::Rng,
    began: Instant,
}

impl Trial {
    /// Says aloud which seed it uses.
    pub fn begin(name: &'static str) -> Self {
        let seed = number("DURABILITY_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000_000));
        eprintln!("{name}: DURABILITY_SEED={seed}");
        Self { name, dice: fastrand::Rng::with_seed(seed), began: Instant::now() }
    }

    /// How often to try; `few` unless the environment wants more.
    pub fn rounds(&self, few: usize) -> usize {
        number("DURABILITY_ROUNDS").map_or(few, |rounds| usize::try_from(rounds).unwrap())
    }

    /// Another source of chance, for what runs beside this.
    pub fn fork(&mut self) -> fastrand::Rng {
        self.dice.fork()
    }

    /// Some time up to `most`.
    pub fn some(&mut self, most: Duration) -> Duration {
        some(&mut self.dice, most)
    }

    /// Says what was found.
    pub fn report(&self, found: impl std::fmt::Display) {
        eprintln!("{}: {found} ({:.1} s)", self.name, self.began.elapsed().as_secs_f64());
    }
}

/// Some time up to `most`.
pub fn some(dice: &mut fastrand::Rng, most: Duration) -> Duration {
    most.mul_f64(dice.f64())
}

/// The middle and the worst of some times, for a report.
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
