//! How much of a request was spent on the database.

use std::cell::Cell;
use std::time::{Duration, Instant};

tokio::task_local! {
    static SPENT: Cell<Duration>;
}

/// Runs `work`, and says how long it waited for the store: connections, locks and queries together.
///
/// Only what `work` itself awaits is counted, not what it spawns. An outer scope counts what an inner one did.
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

/// Counts the time of `unit` towards the scope it runs in, if it runs in one.
pub(super) async fn record<F: Future>(unit: F) -> F::Output {
    let began = Instant::now();
    let output = unit.await;
    add(began.elapsed());
    output
}

fn add(time: Duration) {
    // Outside any scope nobody asks for the time.
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
