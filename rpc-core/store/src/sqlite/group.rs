//! Several units of work in one transaction of SQLite.
//!
//! A commit costs as much as many statements: SQLite writes pages to the log, and with `synchronous = FULL` it waits
//! for the disk. Units that wait at the same time share one commit. Each unit has a savepoint, so a unit that fails is
//! rolled back alone. A caller gets its result only after the commit.

use super::control::{Begin, Commit, Release, Rollback, RollbackToSavepoint, Savepoint};
use crate::unit::LiteConn;
use diesel::QueryResult;
use std::time::{Duration, Instant};

/// After this time a group takes no further unit, so that the callers of its first units do not wait too long.
const LONG: Duration = Duration::from_millis(2);

/// A unit of work in the queue of the writer.
pub(super) trait Unit: Send {
    /// Marks the unit as begun: its caller cannot withdraw it any more. Returns `false` if the caller has withdrawn it.
    fn begin(&self) -> bool;
    /// Runs the unit, and returns whether it succeeded.
    fn run(&mut self, connection: &mut LiteConn) -> bool;
    /// Sends the result to the caller, or an error if the transaction failed as a whole.
    fn end(self: Box<Self>, failure: Option<&diesel::result::Error>);
}

/// Units of work in the order in which they came.
pub(super) type Units = std::vec::IntoIter<Box<dyn Unit>>;

/// Runs units in one transaction, and sends the results to their callers. Returns the units that it did not run, and
/// whether the connection can be used again.
pub(super) fn run(connection: &mut LiteConn, mut units: Units) -> (Units, bool) {
    let mut done = Vec::with_capacity(units.len());
    let result = transaction(connection, &mut units, &mut done);
    // SQLite rolls back some transactions itself, for example when the disk is full. Then this rollback fails.
    let is_usable = result.is_ok() || Rollback.run(connection).is_ok();
    for unit in done {
        unit.end(result.as_ref().err());
    }
    (units, is_usable)
}

fn transaction(connection: &mut LiteConn, units: &mut Units, done: &mut Vec<Box<dyn Unit>>) -> QueryResult<()> {
    if let Err(error) = Begin.run(connection) {
        // Another process holds the lock, or the file cannot be used. The other units would wait for the same.
        done.extend(units);
        return Err(error);
    }
    let began = Instant::now();
    let is_alone = units.len() == 1;
    for mut unit in units.by_ref() {
        let result =
            if is_alone { run_alone(connection, &mut *unit) } else { run_in_savepoint(connection, &mut *unit) };
        done.push(unit);
        let is_open = result?;
        if !is_open {
            return Ok(());
        }
        if began.elapsed() > LONG {
            break;
        }
    }
    Commit.run(connection)
}

/// Runs the only unit of a transaction. Rolls back and returns `false` if it fails.
fn run_alone(connection: &mut LiteConn, unit: &mut dyn Unit) -> QueryResult<bool> {
    if unit.run(connection) {
        return Ok(true);
    }
    Rollback.run(connection)?;
    Ok(false)
}

/// Runs one of several units. Fails if SQLite has rolled back the whole transaction: then the savepoint does not exist.
fn run_in_savepoint(connection: &mut LiteConn, unit: &mut dyn Unit) -> QueryResult<bool> {
    Savepoint.run(connection)?;
    if !unit.run(connection) {
        RollbackToSavepoint.run(connection)?;
    }
    Release.run(connection)?;
    Ok(true)
}
