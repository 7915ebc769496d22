//! Measures how much time a request spends in the database: for its log line, its trace, and the log of slow work.

use crate::error::{StoreError, StoreResult};
use std::cell::Cell;
use std::time::{Duration, Instant};
use threadline_trace::{Span, SpanKind, log_slow_query};

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

/// Runs a unit of work and adds its time to the innermost [`timed`] call around it, if there is one. `system` is the
/// database, and `place` the type name of a function inside of the operation.
pub(super) async fn record<T>(
    system: &'static str,
    place: impl Fn() -> &'static str,
    unit: impl Future<Output = StoreResult<T>>,
) -> StoreResult<T> {
    let began = Instant::now();
    let span = start_span(system, &place);
    let result = unit.await;
    let took = began.elapsed();
    if let Err(StoreError::Unavailable(_)) = &result {
        span.fail("unavailable");
    }
    span.end();
    log_slow_query(|| operation_name(place()), took);
    add(took);
    result
}

/// Starts the span of a unit of work. It has the name of the operation, and no statement or value.
fn start_span(system: &'static str, place: impl Fn() -> &'static str) -> Span {
    let span = Span::child(SpanKind::Client, || operation_name(place()));
    if span.is_recording() {
        span.set("db.system.name", system);
        span.set("db.operation.name", operation_name(place()));
    }
    span
}

/// Returns the name of the store function that contains the function of this type name.
pub(crate) fn operation_name(type_name: &'static str) -> &'static str {
    type_name
        .rsplit("::")
        .find(|part| !part.starts_with('{') && !part.starts_with('<') && *part != "here")
        .unwrap_or(type_name)
}

fn add(time: Duration) {
    // An error means that no `timed` call is active, so the time is not needed.
    let _ = SPENT.try_with(|spent| spent.set(spent.get().saturating_add(time)));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A unit of work that takes 2 ms.
    async fn recorded() -> StoreResult<()> {
        let unit = async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            Ok(())
        };
        record("sqlite", || "here", unit).await
    }

    #[test]
    fn an_operation_has_the_name_of_its_function() {
        let in_impl = "threadline_store::threads::<impl threadline_store::db::Store>::thread_get::{{closure}}::here";
        assert_eq!(operation_name(in_impl), "thread_get");
        assert_eq!(operation_name("threadline_store::clock::read::{{closure}}::{{closure}}::here"), "read");
    }

    #[tokio::test]
    async fn scopes_add_up_and_do_not_leak() {
        let ((), outside) = timed(async {}).await;
        assert_eq!(outside, Duration::ZERO);

        let (inner, outer) = timed(async {
            recorded().await.unwrap();
            let (paused, inner) = timed(recorded()).await;
            paused.unwrap();
            inner
        })
        .await;
        assert!(inner >= Duration::from_millis(2));
        assert!(outer >= inner + Duration::from_millis(2), "{outer:?} does not hold {inner:?}");
    }
}
