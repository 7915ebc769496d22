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
use super::rows::ProcessRow;
use super::unit::{change, read, tx};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use diesel::upsert::excluded;
use futures::StreamExt;
use std::collections::BTreeSet;
use threadline_schema::db::tables::{budget_holds, processes, runs};
use threadline_schema::db::types::UtcTime;
use threadline_schema::db::types::sql::UtcTime as SqlTime;
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

/// What operators read about a process.
#[derive(Debug, Clone)]
pub struct ProcessDetails {
    /// Name of its machine.
    pub host: String,
    /// Where it listens.
    pub address: String,
    /// Its version.
    pub version: String,
    /// When it started.
    pub started_at: UtcTime,
    /// Since when it accepts no new runs because it stops.
    pub draining_since: Option<UtcTime>,
}

/// A process with its active runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedProcess {
    /// The process.
    pub process: ProcessRow,
    /// How many active runs it owns.
    pub live_runs: i64,
    /// When the first of their leases expires.
    pub lease_expires_at: Option<UtcTime>,
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

    /// Writes what operators read about a process, and when it was seen.
    ///
    /// # Errors
    /// Only if the database fails or refuses writes.
    pub async fn process_report(&self, id: ProcessId, details: ProcessDetails, now: UtcTime) -> StoreResult<()> {
        let ProcessDetails { host, address, version, started_at, draining_since } = details;
        change!(self, |c| {
            let row = ProcessRow {
                id,
                holds_lock: false,
                seen_at: now,
                fence: 0,
                reads_segments: true,
                host: Some(host),
                address: Some(address),
                version: Some(version),
                started_at: Some(started_at),
                draining_since,
            };
            diesel::insert_into(processes::table)
                .values(row)
                .on_conflict(processes::id)
                .do_update()
                .set((
                    processes::seen_at.eq(excluded(processes::seen_at)),
                    processes::host.eq(excluded(processes::host)),
                    processes::address.eq(excluded(processes::address)),
                    processes::version.eq(excluded(processes::version)),
                    processes::started_at.eq(excluded(processes::started_at)),
                    processes::draining_since.eq(excluded(processes::draining_since)),
                ))
                .fixed()
                .execute(c)
                .await?;
            Ok(())
        })
    }

    /// Returns the processes that were seen since a time, and those that own active runs: newest first, at most
    /// `limit`, with the number of their active runs and the earliest end of a lease.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn processes_list(&self, since: UtcTime, limit: u32) -> StoreResult<Vec<ListedProcess>> {
        read!(self, |c| {
            let leases: Vec<(ProcessId, i64, Option<UtcTime>)> = runs::table
                .filter(runs::finished_at.is_null())
                .group_by(runs::owner)
                .select((runs::owner, sql::<BigInt>("COUNT(*)"), sql::<Nullable<SqlTime>>("MIN(lease_expires_at)")))
                .load(c)
                .await?;
            let owners: Vec<ProcessId> = leases.iter().map(|(owner, ..)| *owner).collect();
            let rows: Vec<ProcessRow> = processes::table
                .filter(processes::seen_at.ge(since).or(processes::id.eq_any(owners)))
                .order(processes::id.desc())
                .limit(i64::from(limit))
                .select(ProcessRow::as_select())
                .load(c)
                .await?;
            let listed = |process: ProcessRow| {
                let lease = leases.iter().find(|(owner, ..)| *owner == process.id);
                let (live_runs, lease_expires_at) = lease.map_or((0, None), |(_, live, lease)| (*live, *lease));
                ListedProcess { process, live_runs, lease_expires_at }
            };
            Ok(rows.into_iter().map(listed).collect())
        })
    }

    /// Checks that the database accepts writes, with the smallest possible write: the time in the row of this process.
    /// Creates the row if there is none.
    ///
    /// # Errors
    /// If the database fails or refuses writes.
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

    /// Returns the processes other than `me` that have active runs, or hold budgets, and a row that says that they hold
    /// their lock, although the lock is free. A live process is among them for a moment when it reconnects.
    ///
    /// # Errors
    /// Only if the database fails.
    pub async fn processes_without_lock(&self, me: ProcessId) -> StoreResult<Vec<ProcessId>> {
        tx!(self, |c| {
            let owners: Vec<ProcessId> = runs::table
                .inner_join(processes::table.on(processes::id.eq(runs::owner)))
                .filter(runs::finished_at.is_null().and(runs::owner.ne(me)).and(processes::holds_lock.eq(true)))
                .select(runs::owner)
                .distinct()
                .load(c)
                .await?;
            let holders: Vec<ProcessId> = budget_holds::table
                .inner_join(processes::table.on(processes::id.eq(budget_holds::owner)))
                .filter(budget_holds::owner.ne(me).and(processes::holds_lock.eq(true)))
                .select(budget_holds::owner)
                .distinct()
                .load(c)
                .await?;
            let owners: BTreeSet<ProcessId> = owners.into_iter().chain(holders).collect();
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
    pub async fn processes_trim(&self, before: UtcTime) -> StoreResult<usize> {
        change!(self, |c| {
            Ok(diesel::delete(processes::table.filter(processes::seen_at.lt(before))).execute(c).await?)
        })
    }
}
