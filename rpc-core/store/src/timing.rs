//! Measures how much time a request spends in the database.

use std::cell::Cell;
use std::time::{Duration, Instant};

tokio::task_local! {
    static SPENT: Cell<Duration>;
}

/// Runs `work`. Returns its output, and how long it waited for the store: for connections, locks and queries together.
///
/// Counts only what `work` itself awaits, not the tasks that it spawns. The time of an inner call also counts in the
/// outer one.
pub async fn timed<F: Future>(work: F) -> (F::Output, Duration) {
    let (output, spent) = SPENT
        .scope(Cell::new(Duration::ZERO), async {
            let output = work.await;
            (output, SPENT.with(Cell::get))
        })
        .await;
    add(spent);
    (output, spent)
}

/// Runs `unit` and adds its time to the innermost [`timed`] call around it, if there is one.
pub(super) async fn record<F: Future>(unit: F) -> F::Output {
    let began = Instant::now();
    let output = unit.await;
    add(began.elapsed());
    output
}

fn add(time: Duration) {
    // An error means that no `timed` call is active, so the time is not needed.
    let _ = SPENT.try_with(|spent| spent.set(spent.get().saturating_add(time)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn scopes_add_up_and_do_not_leak() {
        let ((), outside) = timed(async {}).await;
        assert_eq!(outside, Duration::ZERO);

        let pause = || tokio::time::sleep(Duration::from_millis(2));
        let (inner, outer) = timed(async {
            record(pause()).await;
            let ((), inner) = timed(record(pause())).await;
            inner
        })
        .await;
        assert!(inner >= Duration::from_millis(2));
        assert!(outer >= inner + Duration::from_millis(2), "{outer:?} does not hold {inner:?}");
    }
}
