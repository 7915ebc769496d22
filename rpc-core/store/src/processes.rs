//! Which processes serve the database, and which of them are dead.
//!
//! A lease says only until when a process is believed to be alive. A process that is connected to PostgreSQL without a
//! pooler also holds an advisory lock in a session of its own, and records that in its row. When the process is killed,
//! its connection closes and the server frees the lock at once. A process that is frozen or cut off from the network
//! keeps its lock; for that process the lease decides.

use super::advisory_lock::AdvisoryLock;
use super::db::{Db, Store};
use super::error::{StoreError, StoreResult};
use super::postgres::{Server, Session};
use super::query::{FixedDsl, RunQueryDsl};
use super::unit::{change, tx};
use async_recursion::async_recursion as boxed;
use diesel::prelude::*;
use diesel::upsert::excluded;
use futures::StreamExt;
use threadline_schema::db::tables::{processes, runs};
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::ProcessId;
use tokio_postgres::types::{ToSql, Type};

/// The lock that shows other processes that this one is alive, and the server that has it.
pub struct Presence {
    server: Server,
    key: i64,
}

/// A lock that is held.
pub struct HeldPresence {
    session: Session,
}

/// Why a lock is not held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotHeld {
    /// Another session holds it: the server has not yet noticed that an earlier connection is closed.
    Taken,
    /// The connection leads to a pooler, which would keep the lock after the death of the process.
    Pooler,
}

impl Presence {
    /// Connects and takes the lock.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the server cannot be reached.
    #[boxed]
    pub async fn acquire(&self) -> StoreResult<Result<HeldPresence, NotHeld>> {
        let mut session = self.server.session().await?;
        if session.is_pooler {
            return Ok(Err(NotHeld::Pooler));
        }
        let locked = {
            let Session { client, messages, .. } = &mut session;
            let key: [(&(dyn ToSql + Sync), Type); 1] = [(&self.key, Type::INT8)];
            tokio::select! {
                rows = client.query_typed("SELECT pg_try_advisory_lock($1)", &key) => rows.map_err(StoreError::unavailable)?,
                () = async { while let Some(Ok(_)) = messages.next().await {} } => {
                    return Err(StoreError::unavailable("the connection was closed"));
                }
            }
        };
        let is_locked = locked.iter().any(|row| row.try_get(0).unwrap_or(false));
        Ok(if is_locked { Ok(HeldPresence { session }) } else { Err(NotHeld::Taken) })
    }
}

impl HeldPresence {
    /// Waits until the connection is lost, and the lock with it.
    #[boxed]
    pub async fn lost(mut self) {
        while let Some(Ok(_)) = self.session.messages.next().await {}
    }
}

/// Returns the key of the advisory lock of a process: the random part of its id.
fn key(id: ProcessId) -> i64 {
    let (_, random) = id.as_uuid().as_u64_pair();
    i64::from_be_bytes(random.to_be_bytes())
}

impl Store {
    /// Returns the lock of a process; `None` if no other process can use the database.
    pub fn presence(&self, id: ProcessId) -> Option<Presence> {
        match self.db() {
            Db::Pg(connections) => Some(Presence { server: connections.pool.manager().direct().clone(), key: key(id) }),
            Db::Lite { .. } => None,
        }
    }

    /// Records that a process serves the database, and whether it holds its lock.
    ///
    /// # Errors
    /// Only if the database fails or refuses writes.
    #[boxed]
    pub async fn process_seen(&self, id: ProcessId, holds_lock: bool, now: UtcTime) -> StoreResult<()> {
        change!(self, |c| {
            diesel::insert_into(processes::table)
                .values((
                    processes::id.eq(id),
                    processes::holds_lock.eq(holds_lock),
                    processes::seen_at.eq(now),
                    processes::reads_segments.eq(true),
                ))
                .on_conflict(processes::id)
                .do_update()
                .set((
                    processes::holds_lock.eq(excluded(processes::holds_lock)),
                    processes::seen_at.eq(excluded(processes::seen_at)),
                ))
                .fixed()
                .execute(c)
                .await?;
            Ok(())
        })
    }

    /// Checks that the database accepts writes, with the smallest possible write: the time in the row of this process.
    /// Creates the row if there is none.
    ///
    /// # Errors
    /// If the database fails or refuses writes.
    #[boxed]
    pub async fn check_writable(&self, id: ProcessId, now: UtcTime) -> StoreResult<()> {
        change!(self, |c| {
            diesel::insert_into(processes::table)
                .values((
                    processes::id.eq(id),
                    processes::holds_lock.eq(false),
                    processes::seen_at.eq(now),
                    processes::reads_segments.eq(true),
                ))
                .on_conflict(processes::id)
                .do_update()
                .set(processes::seen_at.eq(excluded(processes::seen_at)))
                .fixed()
                .execute(c)
                .await?;
            Ok(())
        })
    }

    /// Returns the processes other than `me` that have active runs and a row that says that they hold their lock,
    /// although the lock is free. A live process is among them for a moment when it reconnects.
    ///
    /// # Errors
    /// Only if the database fails.
    #[boxed]
    pub async fn processes_without_lock(&self, me: ProcessId) -> StoreResult<Vec<ProcessId>> {
        tx!(self, |c| {
            let owners: Vec<ProcessId> = runs::table
                .inner_join(processes::table.on(processes::id.eq(runs::owner)))
                .filter(runs::finished_at.is_null().and(runs::owner.ne(me)).and(processes::holds_lock.eq(true)))
                .select(runs::owner)
                .distinct()
                .load(c)
                .await?;
            let mut free = Vec::new();
            for owner in owners {
                if c.is_free(key(owner)).await? {
                    free.push(owner);
                }
            }
            Ok(free)
        })
    }

    /// Deletes the rows of processes that were last seen before `before`. Returns how many.
    ///
    /// # Errors
    /// Only if the database fails.
    #[boxed]
    pub async fn processes_trim(&self, before: UtcTime) -> StoreResult<usize> {
        change!(self, |c| {
            Ok(diesel::delete(processes::table.filter(processes::seen_at.lt(before))).execute(c).await?)
        })
    }
}
