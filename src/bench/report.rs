//! What was measured, and the table of it.

use parking_lot::{Mutex, MutexGuard};
use std::fmt;
use std::time::{Duration, Instant};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Session,
    Thread,
    List,
    History,
    Delete,
    FirstToken,
    Token,
    Answer,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Session,
        Self::Thread,
        Self::List,
        Self::History,
        Self::Delete,
        Self::FirstToken,
        Self::Token,
        Self::Answer,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Session => "create a session",
            Self::Thread => "create a thread",
            Self::List => "list sessions",
            Self::History => "read a history",
            Self::Delete => "delete a session",
            Self::FirstToken => "first token of an answer",
            Self::Token => "between two tokens",
            Self::Answer => "whole answer",
        }
    }

    /// What 95 of 100 times must stay below.
    fn target(self) -> Option<Duration> {
        let millis = match self {
            Self::Session => 500,
            Self::Thread | Self::History => 200,
            Self::List => 100,
            Self::FirstToken => 2_000,
            Self::Delete | Self::Token | Self::Answer => return None,
        };
        Some(Duration::from_millis(millis))
    }
}

/// Times of everything that was done.
#[derive(Debug, Default)]
pub(super) struct Measured {
    times: [Mutex<Vec<Duration>>; Kind::ALL.len()],
}

impl Measured {
    fn times(&self, kind: Kind) -> MutexGuard<'_, Vec<Duration>> {
        let [session, thread, list, history, delete, first, token, answer] = &self.times;
        let times = match kind {
            Kind::Session => session,
            Kind::Thread => thread,
            Kind::List => list,
            Kind::History => history,
            Kind::Delete => delete,
            Kind::FirstToken => first,
            Kind::Token => token,
            Kind::Answer => answer,
        };
        times.lock()
    }

    pub(super) fn add(&self, kind: Kind, time: Duration) {
        self.times(kind).push(time);
    }

    /// Runs `work`, and adds its time if it succeeds.
    pub(super) async fn time<T>(&self, kind: Kind, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let began = Instant::now();
        let done = work.await?;
        self.add(kind, began.elapsed());
        Ok(done)
    }

    pub(super) fn calls(&self) -> usize {
        let calls = [Kind::Session, Kind::Thread, Kind::List, Kind::History, Kind::Delete];
        calls.iter().map(|kind| self.times(*kind).len()).sum()
    }

    pub(super) fn answers(&self) -> usize {
        self.times(Kind::Answer).len()
    }
}

/// The table.
pub(super) struct Report {
    rows: Vec<Row>,
}

struct Row {
    kind: Kind,
    count: usize,
    p50: Duration,
    p95: Duration,
    p99: Duration,
    max: Duration,
}

impl Row {
    fn is_met(&self) -> Option<bool> {
        self.kind.target().map(|target| self.count > 0 && self.p95 < target)
    }
}

impl Report {
    pub(super) fn of(measured: &Measured) -> Self {
        let rows = Kind::ALL.map(|kind| {
            let mut times = measured.times(kind).clone();
            times.sort_unstable();
            let at = |percent: usize| {
                // The smallest time that at least `percent` of 100 times do not exceed.
                let rank = (times.len() * percent).div_ceil(100).saturating_sub(1);
                times.get(rank).copied().unwrap_or_default()
            };
            Row { kind, count: times.len(), p50: at(50), p95: at(95), p99: at(99), max: at(100) }
        });
        Self { rows: rows.into() }
    }

    /// Whether each target was measured and is met.
    pub(super) fn meets_targets(&self) -> bool {
        self.rows.iter().all(|row| row.is_met() != Some(false))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["", "count", "p50 ms", "p95 ms", "p99 ms", "max ms", "target of p95"];
        let [what, count, p50, p95, p99, max, target] = head;
        writeln!(f, "{what:<25} {count:>8} {p50:>9} {p95:>9} {p99:>9} {max:>9}  {target}")?;
        for row in &self.rows {
            let [p50, p95, p99, max] = [row.p50, row.p95, row.p99, row.max].map(|time| time.as_secs_f64() * 1e3);
            let name = row.kind.name();
            write!(f, "{name:<25} {:>8} {p50:>9.2} {p95:>9.2} {p99:>9.2} {max:>9.2}", row.count)?;
            match (row.kind.target(), row.is_met()) {
                (Some(target), Some(true)) => writeln!(f, "  ok    below {} ms", target.as_millis())?,
                (Some(target), _) => writeln!(f, "  FAIL  not below {} ms", target.as_millis())?,
                (None, _) => writeln!(f)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let measured = Measured::default();
        for millis in 1..=200 {
            measured.add(Kind::List, Duration::from_millis(millis));
        }
        let report = Report::of(&measured);
        let list = report.rows.iter().find(|row| row.kind == Kind::List).unwrap();
        let millis = [list.p50, list.p95, list.p99, list.max].map(|time| time.as_millis());
        assert_eq!(millis, [100, 190, 198, 200]);
        assert_eq!(list.is_met(), Some(false));
        assert!(report.to_string().contains("not below 100 ms"));
    }

    #[test]
    fn what_was_not_measured_meets_no_target() {
        assert!(!Report::of(&Measured::default()).meets_targets());
    }
}
