//! Writes on SQLite: one connection, and the queue of the units of work that wait for it.
//!
//! A caller that adds a unit to an idle queue starts a writing task on a thread for blocking work. The task runs until
//! the queue is empty. The units that have queued meanwhile share one transaction (`group.rs`).

use super::group::{self, Unit, Units};
use super::{OpenOn, Role, Settings, open};
use crate::error::{StoreError, StoreResult};
use crate::unit::LiteConn;
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use threadline_schema::error::Chain;
use tokio::sync::oneshot;

/// Maximum number of units in one transaction.
const GROUP: usize = 64;

/// The writer of a file. Clones share it.
#[derive(Clone)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
}

struct Shared {
    path: String,
    settings: Settings,
    /// Longest time that a unit waits in the queue.
    wait: Duration,
    open_on: OpenOn,
    queue: Mutex<Queue>,
    /// Locked by the writing task.
    connection: Mutex<Option<LiteConn>>,
}

#[derive(Default)]
struct Queue {
    units: VecDeque<Box<dyn Unit>>,
    /// Units that are being written.
    taken: usize,
    is_writing: bool,
    is_open: bool,
}

/// The load of the writer.
pub(crate) struct WriterStatus {
    pub(crate) is_open: bool,
    pub(crate) is_writing: bool,
    /// Number of units that wait.
    pub(crate) waiting: usize,
}

impl Writer {
    /// Creates a writer. Opens no connection yet.
    pub(crate) fn new(path: &str, settings: Settings, open_on: OpenOn) -> Self {
        Self {
            shared: Arc::new(Shared {
                path: path.to_owned(),
                settings,
                wait: settings.busy_timeout,
                open_on,
                queue: Mutex::default(),
                connection: Mutex::default(),
            }),
        }
    }

    pub(crate) fn status(&self) -> WriterStatus {
        let queue = self.shared.queue();
        let unfinished = queue.units.len() + queue.taken;
        WriterStatus {
            is_open: queue.is_open,
            is_writing: queue.is_writing,
            waiting: unfinished.saturating_sub(usize::from(queue.is_writing)),
        }
    }

    /// Runs a unit of work in a transaction, and commits it if it returns `Ok`. If the caller is dropped while the unit
    /// waits in the queue, the unit does not run. Once it has begun, it ends without its caller.
    ///
    /// # Errors
    /// Those of the unit. [`StoreError::Unavailable`] if the unit waits too long, or if the transaction fails. In the
    /// second case it is not known whether it was committed.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut LiteConn) -> StoreResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        let (reply, mut outcome) = oneshot::channel();
        let ticket = Ticket { state: Arc::new(AtomicU8::new(WAITING)) };
        let unit = Write { state: ticket.state.clone(), work: Some(work), result: None, reply };
        if self.shared.enqueue(Box::new(unit)) {
            let shared = self.shared.clone();
            match self.shared.open_on {
                OpenOn::BlockingThread => drop(tokio::task::spawn_blocking(move || shared.write_all())),
                #[cfg(feature = "simulation")]
                OpenOn::ThisThread => shared.write_all(),
            }
        }
        let outcome = match tokio::time::timeout(self.shared.wait, &mut outcome).await {
            Ok(outcome) => outcome,
            Err(_) if ticket.withdraw() => {
                let WriterStatus { waiting, .. } = self.status();
                return Err(StoreError::unavailable(format!(
                    "the writer was busy for {:?} ({waiting} requests waiting)",
                    self.shared.wait
                )));
            }
            Err(_) => outcome.await,
        };
        // The writing task has panicked, or the runtime shuts down.
        outcome.unwrap_or_else(|_| Err(StoreError::unavailable("the writer has stopped")))
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }

    /// Adds a unit. Returns whether the caller must start the writing task.
    fn enqueue(&self, unit: Box<dyn Unit>) -> bool {
        let mut queue = self.queue();
        queue.units.push_back(unit);
        !std::mem::replace(&mut queue.is_writing, true)
    }

    /// Takes the next units; `None` ends the writing task.
    fn next_units(&self) -> Option<Units> {
        let mut queue = self.queue();
        let some = queue.units.len().min(GROUP);
        let units: Vec<_> = queue.units.drain(..some).filter(|unit| unit.begin()).collect();
        queue.taken = units.len();
        queue.is_writing = some > 0;
        queue.is_writing.then(|| units.into_iter())
    }

    fn write_all(&self) {
        let mut connection = self.connection.lock();
        while let Some(units) = self.next_units() {
            let written = catch_unwind(AssertUnwindSafe(|| self.write_units(&mut connection, units)));
            if written.is_err() {
                // The callers have got errors, and the queue continues. The transaction is rolled back with its
                // connection.
                *connection = None;
                self.queue().is_open = false;
            }
        }
    }

    fn write_units(&self, connection: &mut Option<LiteConn>, mut units: Units) {
        while units.len() > 0 {
            units = self.write_some(connection, units);
            self.queue().taken = units.len();
        }
    }

    /// Runs a group, and returns the units that it did not run.
    fn write_some(&self, connection: &mut Option<LiteConn>, units: Units) -> Units {
        let open = match connection {
            Some(open) => open,
            None => match open(&self.path, Role::Writer, self.settings) {
                Ok(opened) => connection.insert(opened),
                Err(error) => {
                    let error = diesel::result::Error::QueryBuilderError(Chain(&error).to_string().into());
                    units.for_each(|unit| unit.end(Some(&error)));
                    return Vec::new().into_iter();
                }
            },
        };
        let (rest, is_usable) = group::run(open, units);
        if !is_usable {
            *connection = None;
        }
        self.queue().is_open = connection.is_some();
        rest
    }
}

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const WITHDRAWN: u8 = 2;

/// The caller's hold on its unit. Dropping it withdraws the unit if it has not begun.
struct Ticket {
    state: Arc<AtomicU8>,
}

impl Ticket {
    /// Withdraws the unit. Returns `false` if it has begun.
    fn withdraw(&self) -> bool {
        self.state.compare_exchange(WAITING, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire) != Err(BEGUN)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.withdraw();
    }
}

/// A unit of work whose outcome is a `T`.
struct Write<T, W> {
    state: Arc<AtomicU8>,
    work: Option<W>,
    result: Option<StoreResult<T>>,
    reply: oneshot::Sender<StoreResult<T>>,
}

impl<T: Send, W: FnOnce(&mut LiteConn) -> StoreResult<T> + Send> Unit for Write<T, W> {
    fn begin(&self) -> bool {
        self.state.compare_exchange(WAITING, BEGUN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn run(&mut self, connection: &mut LiteConn) -> bool {
        let Some(work) = self.work.take() else { return false };
        let result = catch_unwind(AssertUnwindSafe(|| work(connection)));
        let result = result.unwrap_or_else(|_| Err(StoreError::unavailable("a unit of work panicked")));
        let went_well = result.is_ok();
        self.result = Some(result);
        went_well
    }

    fn end(self: Box<Self>, failure: Option<&diesel::result::Error>) {
        let result = match (failure, self.result) {
            (None, Some(result)) => result,
            // It says why the transaction has failed.
            (Some(_), Some(Err(error @ StoreError::Unavailable(_)))) => Err(error),
            (Some(error), _) => Err(StoreError::unavailable(Chain(error).to_string())),
            (None, None) => Err(StoreError::unavailable("the unit of work was not done")),
        };
        // The caller may have been dropped.
        let _ = self.reply.send(result);
    }
}
