//! The public interface of the engine.

use crate::background::spawn_background_tasks;
use crate::error::EngineError;
use crate::holds;
use crate::hub::Hub;
use crate::leases::Leases;
use crate::lifecycle::{self, NewThreadInput, ResumeInput, RunRequest, StartPermit, StartedRun, UserMessageInput};
use crate::log::SegmentPositions;
use crate::maintenance;
use crate::output::UsedSoFar;
use crate::presences::Presences;
use crate::recovery;
pub use crate::shared::EngineConfig;
use crate::shared::Shared;
use crate::subscribe::{self, RunFeed, ThreadFeed};
use crate::wire;
use async_recursion::async_recursion as boxed;
use std::sync::Arc;
use std::time::Duration;
use threadline_runtime::{Supervisor, TaskKind};
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{HoldId, ItemId, ProcessId, RunId, ThreadId, UserId};
use threadline_schema::runs::{After, Run};
use threadline_schema::threads::{EventCursor, ThreadsSubscribeParams};
use threadline_signals::Signals;
use threadline_store::rows::{ItemRow, RunRow};
use threadline_store::{
    Charge, Clock, Expiry, IdempotencyKey, ModelUse, NewHold, Reservation, Store, StoreError, StoreResult,
    UnusedDeletion, to_unsigned,
};
use threadline_trace::{InSpan, Span};

/// Starts, executes, cancels, recovers and streams runs. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

impl Engine {
    /// Recovers what a dead process has left open, if this one has the database to itself, and starts the background
    /// tasks.
    ///
    /// # Errors
    /// When the database fails.
    #[boxed]
    pub async fn start(
        config: EngineConfig,
        store: Store,
        clock: Arc<Clock>,
        signals: Signals,
        supervisor: Supervisor,
    ) -> StoreResult<Self> {
        let hub = Arc::new(Hub::new(config.events_retention));
        let process_id = clock.new_id();
        let leases = Leases::new();
        let presences = Presences::default();
        let segment_positions = SegmentPositions::default();
        let recovering = tokio::sync::Mutex::default();
        let shared = Arc::new(Shared {
            process_id,
            config,
            store,
            clock,
            signals,
            supervisor,
            hub,
            leases,
            presences,
            segment_positions,
            recovering,
        });
        if !shared.store.is_shared() {
            recovery::recover_all_open_runs(&shared).await?;
        }
        spawn_background_tasks(&shared);
        Ok(Self { shared })
    }

    /// Returns the id of this process, as in the leases of its runs.
    pub fn process_id(&self) -> ProcessId {
        self.shared.process_id
    }

    /// Returns whether the database takes writes, by a write.
    ///
    /// # Errors
    /// When it does not.
    #[boxed]
    pub async fn check_writable(&self) -> StoreResult<()> {
        self.shared.store.check_writable(self.shared.process_id, self.shared.clock.now()).await
    }

    /// Refuses new runs, lets active runs end within `grace`, and then interrupts them.
    #[boxed]
    pub async fn drain(&self, grace: Duration) {
        self.shared.hub.drain(grace).await;
    }

    /// Returns the permit that starting a run takes.
    ///
    /// # Errors
    /// [`EngineError::ShuttingDown`].
    pub fn start_permit(&self) -> Result<StartPermit, EngineError> {
        // Before the check: a shutdown that starts in between waits for the permit.
        let permit = StartPermit(self.shared.hub.hold_shutdown());
        if self.shared.hub.is_shutting_down() { Err(EngineError::ShuttingDown) } else { Ok(permit) }
    }

    /// Returns a permit for work that starts no run. Such work is still allowed while the process shuts down.
    pub fn permit_without_run(&self) -> StartPermit {
        StartPermit(self.shared.hub.hold_shutdown())
    }

    /// Stores a message and starts the run that answers it. Continues if the caller drops the future.
    ///
    /// # Errors
    /// Those of `Store::run_start`.
    #[boxed]
    pub async fn start_with_message(
        &self,
        request: RunRequest,
        thread_id: ThreadId,
        input: UserMessageInput,
    ) -> Result<StartedRun, EngineError> {
        lifecycle::start_with_message(&self.shared, request, thread_id, input).await
    }

    /// Stores a thread, and starts the run that answers its first message if it has one. Continues if the caller drops
    /// the future.
    ///
    /// # Errors
    /// Those of `Store::thread_create`.
    #[boxed]
    pub async fn create_thread(&self, request: RunRequest, input: NewThreadInput) -> Result<StartedRun, EngineError> {
        lifecycle::create_thread(&self.shared, request, input).await
    }

    /// Starts a run without a new message. Continues if the caller drops the future.
    ///
    /// # Errors
    /// Those of `Store::run_start`.
    #[boxed]
    pub async fn resume(
        &self,
        request: RunRequest,
        thread_id: ThreadId,
        input: ResumeInput,
    ) -> Result<StartedRun, EngineError> {
        lifecycle::resume(&self.shared, request, thread_id, input).await
    }

    /// Returns what an earlier request with this idempotency key has started.
    ///
    /// # Errors
    /// When the key was used for another request, or the database fails.
    #[boxed]
    pub async fn find_replay(
        &self,
        user_id: UserId,
        key: Option<&IdempotencyKey>,
    ) -> Result<Option<StartedRun>, EngineError> {
        Ok(lifecycle::find_replay(&self.shared, user_id, key).await?)
    }

    /// Returns a run of this user as an earlier request has started it, if `is_same` says so of the run and its items.
    /// The message that has started it is one of them, also if another run answers it now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_started(
        &self,
        user_id: UserId,
        run_id: RunId,
        is_same: impl FnOnce(&RunRow, &[ItemRow]) -> bool + Send,
    ) -> Result<Option<StartedRun>, EngineError> {
        Ok(lifecycle::find_started(&self.shared, user_id, run_id, is_same).await?)
    }

    /// Returns a run as its owner sees it.
    ///
    /// # Errors
    /// When it is missing, or another user's.
    #[boxed]
    pub async fn run(&self, user_id: UserId, run_id: RunId) -> Result<Run, EngineError> {
        let row = self.shared.store.run_get(user_id, run_id).await?;
        self.describe(row).await
    }

    /// Cancels a run and waits until it has ended. A run that has ended already stays as it is.
    ///
    /// # Errors
    /// When it is missing or another user's, or [`EngineError::StillEnding`].
    #[boxed]
    pub async fn cancel(&self, user_id: UserId, run_id: RunId) -> Result<Run, EngineError> {
        let row = lifecycle::cancel_run(&self.shared, user_id, run_id).await?;
        self.describe(row).await
    }

    /// Returns how many tokens an active run has used so far, in part estimated. `None` if that is not known: another
    /// process executes the run, and has not stored a step of it yet.
    pub fn tokens_so_far(&self, run: &RunRow) -> Option<u64> {
        let here = self.shared.hub.find(run.id).filter(|handle| !handle.has_ended());
        match here {
            Some(handle) => Some(handle.log.tokens()),
            None => run.used.as_deref().map(|used| UsedSoFar::read(Some(used)).tokens()),
        }
    }

    async fn describe(&self, row: RunRow) -> Result<Run, EngineError> {
        let mut run = wire::run(&row);
        if run.status.is_final() {
            run.tool_calls = wire::tool_calls(&self.shared.store.run_items(row.id).await?)?;
        } else {
            run.last_seq = match self.shared.hub.find(row.id) {
                Some(handle) => handle.log.last_seq(),
                // Executed elsewhere: what is durable of it.
                None => {
                    let logged = self.shared.store.events_last(row.id).await?;
                    let live = self.shared.store.live_events_after(row.id, logged).await?;
                    to_unsigned(live.last_seq().unwrap_or(logged))
                }
            };
        }
        Ok(run)
    }

    /// Opens a feed of a run, after the event that `after` names.
    ///
    /// # Errors
    /// When the run is missing or another user's, or `after` is not an event of it.
    #[boxed]
    pub async fn subscribe_run(
        &self,
        user_id: UserId,
        run_id: RunId,
        after: Option<After>,
        token_lifetime: Duration,
    ) -> Result<RunFeed, EngineError> {
        subscribe::subscribe_run(&self.shared, user_id, run_id, after, token_lifetime).await
    }

    /// Cancels the run when the reader of this feed disconnects before the end, after a grace period.
    pub fn cancel_on_disconnect(&self, user_id: UserId, feed: &mut RunFeed) {
        lifecycle::cancel_on_disconnect(&self.shared, user_id, feed);
    }

    /// Opens a feed of a thread. Returns it with the cursor after which it starts.
    ///
    /// # Errors
    /// When the thread is missing or another user's, or `after` is not an event of it.
    #[boxed]
    pub async fn subscribe_thread(
        &self,
        user_id: UserId,
        params: ThreadsSubscribeParams,
        token_lifetime: Duration,
    ) -> Result<(ThreadFeed, EventCursor), EngineError> {
        subscribe::subscribe_thread(&self.shared, user_id, params, token_lifetime).await
    }

    /// Uses up the one subscribe that starting a run includes. Returns whether this user started the run and had not
    /// used it yet.
    pub fn take_free_subscribe(&self, user_id: UserId, run_id: RunId) -> bool {
        self.shared.hub.take_free_subscribe(run_id, user_id)
    }

    /// Notifies the feeds of a thread, in all processes, that its title or status has changed outside of a run. Call it
    /// after the commit.
    pub fn thread_changed(&self, thread_id: ThreadId) {
        self.shared.announce_change(thread_id, None);
    }

    /// Notifies the feeds of a thread, in all processes, that an item has changed outside of a run. Call it after the
    /// commit.
    pub fn item_changed(&self, thread_id: ThreadId, item_id: ItemId) {
        self.shared.announce_change(thread_id, Some(item_id));
    }

    /// Deletes a thread with its items, runs and events. Stops its active run first.
    ///
    /// # Errors
    /// When the thread is missing or another user's.
    #[boxed]
    pub async fn delete_thread(&self, user_id: UserId, thread_id: ThreadId) -> Result<(), EngineError> {
        let store = &self.shared.store;
        if !store.thread_delete_idle(user_id, thread_id).await? {
            // Check the owner first: a request to delete the thread of another user must not stop its run.
            store.thread_unlocked(user_id, thread_id).await?;
            lifecycle::stop_run_in_thread(&self.shared, user_id, thread_id).await?;
            store.thread_delete(user_id, thread_id).await?;
        }
        // Another run may have started in between. It has no readers.
        lifecycle::stop_local_run(&self.shared, thread_id).await;
        self.shared.hub.notifier.notify(thread_id);
        // The feeds of other processes read the database when something has happened in a thread, whatever it is.
        self.shared.signals.began(thread_id, RunId::nil());
        Ok(())
    }

    /// Deletes a thread as its user would, if it was last used before a time, has no active run and is not locked.
    ///
    /// # Errors
    /// When the database fails.
    #[boxed]
    pub async fn delete_unused_thread(
        &self,
        user_id: UserId,
        thread_id: ThreadId,
        before: UtcTime,
        expiry: Expiry,
    ) -> Result<UnusedDeletion, EngineError> {
        let deletion = self.shared.store.thread_delete_unused(user_id, thread_id, before, expiry).await?;
        if deletion == UnusedDeletion::Deleted {
            self.shared.hub.notifier.notify(thread_id);
            self.shared.signals.began(thread_id, RunId::nil());
        }
        Ok(deletion)
    }

    /// Takes a part of the budgets of a user for work that is not a run, until [`settle`](Self::settle). If this
    /// process dies before, another books `charge`. Without a reservation nothing is held.
    ///
    /// # Errors
    /// When less is left, or the database fails.
    #[boxed]
    pub async fn hold(&self, user_id: UserId, charge: Charge, reservation: Option<Reservation>) -> StoreResult<HoldId> {
        let shared = &self.shared;
        let (id, at) = (shared.clock.new_id(), shared.clock.now());
        let (owner, lease_expires_at) = (shared.process_id, shared.lease_until());
        let hold = NewHold { id, user_id, owner, lease_expires_at, at, charge };
        let held = shared.store.budget_hold(hold, reservation).await;
        if let Err(StoreError::Unavailable(_)) = &held {
            // It may have been committed all the same, and only its reply was lost.
            holds::settle_hold(shared, id, Charge::default(), Vec::new()).await;
        }
        held.map(|()| id)
    }

    /// Books what work has used, and releases what it held. Tries again in the background if the database is away.
    #[boxed]
    pub async fn settle(&self, id: HoldId, charge: Charge, uses: Vec<ModelUse>) {
        holds::settle_hold(&self.shared, id, charge, uses).await;
    }

    /// Spawns work beside a run that a shutdown waits for.
    pub fn spawn_beside_run(&self, kind: TaskKind, work: impl Future<Output = ()> + Send + 'static) {
        let hold = self.shared.hub.hold_shutdown();
        let work = work.in_span(Span::current());
        self.shared.supervisor.spawn(kind, async move {
            work.await;
            drop(hold);
        });
    }

    /// Runs `work` to its end even if the caller drops the future.
    ///
    /// # Errors
    /// When the work panics.
    pub async fn run_detached<T: Send + 'static>(
        &self,
        permit: StartPermit,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, EngineError> {
        self.shared
            .detached(async move {
                let result = work.await;
                drop(permit);
                Ok(result)
            })
            .await
    }

    /// Waits until the process shuts down and refuses new runs.
    #[boxed]
    pub async fn shutting_down(&self) {
        self.shared.hub.shutting_down().await;
    }

    /// Evicts logs of ended runs from memory that have been kept long enough.
    pub fn sweep(&self) {
        self.shared.hub.sweep();
    }

    /// Removes the logs of runs that ended long ago, and old idempotency keys, from the database.
    #[boxed]
    pub async fn remove_expired_logs(&self) {
        maintenance::remove_expired_logs(&self.shared).await;
    }

    /// Archives threads that were not used for `max_idle`.
    #[boxed]
    pub async fn archive_idle_threads(&self, max_idle: Duration) {
        maintenance::archive_idle_threads(&self.shared, max_idle).await;
    }
}
