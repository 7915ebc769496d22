//! The events of one run in memory.

use super::event_list::{CoalescedEvent, CoalescedRef, EventList};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use threadline_schema::event::Event;
use threadline_schema::ids::{ItemId, RunId};
use threadline_store::SegmentWriter;
use threadline_store::rows::ROW_BYTES;
use tokio::sync::Notify;
use tokio::time::Instant;

/// An event and its sequence number.
pub(crate) type NumberedEvent = (u64, Event);

/// The events of one run: append-only, numbered from 1, shared by all readers.
///
/// For a run that this process executes, the log is the truth, and the journal makes it durable. For a run that another
/// process executes, it is a copy of what that process has made durable.
#[derive(Debug)]
pub(crate) struct RunLog {
    run_id: RunId,
    state: Mutex<State>,
    /// Wakes readers after a change. A reader then looks for itself what is new.
    changed: Notify,
    /// Wakes the task that seals the log, when the journal has written.
    saved: Notify,
    /// Number of readers in this process.
    readers: AtomicUsize,
    /// Tokens that the run has used so far, in part estimated, if this process executes it.
    tokens: AtomicU64,
}

/// Counts one reader of a log while it lives.
#[derive(Debug)]
pub(crate) struct ReaderGuard(Arc<RunLog>);

impl ReaderGuard {
    pub(crate) fn new(log: Arc<RunLog>) -> Self {
        log.readers.fetch_add(1, Ordering::Relaxed);
        Self(log)
    }

    pub(crate) fn log(&self) -> &Arc<RunLog> {
        &self.0
    }
}

impl Drop for ReaderGuard {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct State {
    events: EventList,
    /// `(index, seq)`, in order: from this index on, events are numbered from this number. They were written by the
    /// owner of a later epoch, after the owner before it died.
    epoch_starts: Vec<(usize, u64)>,
    is_closed: bool,
    /// Number of the last event that is known to be durable.
    saved_seq: u64,
    /// Number of the last event that is known to be in `run_events`. Those after it, up to `saved_seq`, are in
    /// segments.
    logged_seq: u64,
    /// The first segment with events that are not known to be in `run_events`, and when it was written.
    first_segment: Option<(i64, Instant)>,
    /// Whether the journal is writing events of this log.
    is_saving: bool,
    /// Whether the journal must leave the log alone: its last events are written together with the end of the run.
    is_sealed: bool,
    /// Whether the next events cannot be read at the moment.
    is_unreachable: bool,
    /// Whether this process has taken the run over, and is the one that appends events.
    is_adopted: bool,
}

/// Where events have become durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Saved {
    /// In `run_events`, up to this number.
    Logged(u64),
    /// In a segment, up to this number.
    InSegment(u64, i64),
    /// It is not known whether they have.
    Unknown,
}

/// Events that are not in `run_events` yet.
pub(crate) struct UnsavedEvents {
    /// Number of the first event.
    pub(crate) first_seq: u64,
    pub(crate) events: Vec<CoalescedEvent>,
}

impl UnsavedEvents {
    /// Returns the number of the last event.
    pub(crate) fn last_seq(&self) -> u64 {
        self.first_seq + self.events.iter().map(CoalescedEvent::len).sum::<usize>() as u64 - 1
    }
}

impl RunLog {
    pub(crate) fn new(run_id: RunId) -> Self {
        Self {
            run_id,
            state: Mutex::default(),
            changed: Notify::new(),
            saved: Notify::new(),
            readers: AtomicUsize::new(0),
            tokens: AtomicU64::new(0),
        }
    }

    pub(crate) fn run_id(&self) -> RunId {
        self.run_id
    }

    /// Notes how many tokens the run has used so far. This is no event: only who asks is told.
    pub(crate) fn set_tokens(&self, tokens: u64) {
        self.tokens.store(tokens, Ordering::Relaxed);
    }

    /// Returns how many tokens the run has used so far, if this process executes it.
    pub(crate) fn tokens(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// Appends an event and returns its number.
    pub(crate) fn append(&self, event: Event) -> u64 {
        let seq = {
            let mut state = self.state.lock();
            state.events.push(event);
            state.last_seq()
        };
        self.wake_readers();
        seq
    }

    /// Appends a text delta. Readers are not woken: many deltas come together, and [`wake_readers`](Self::wake_readers)
    /// follows the last of them.
    pub(crate) fn append_text(&self, item_id: ItemId, content_index: u32, delta: &str) {
        self.state.lock().events.push_text(item_id, content_index, delta);
    }

    /// Wakes the readers.
    pub(crate) fn wake_readers(&self) {
        // A task that waits for the end of the log is woken by the end. A reader is counted before it reads the log, so
        // either it sees what was appended, or it is counted here.
        if self.is_read() {
            self.changed.notify_waiters();
        }
    }

    /// Appends the last events. Nothing is appended after them.
    pub(crate) fn close(&self, events: impl IntoIterator<Item = Event>) {
        {
            let mut state = self.state.lock();
            events.into_iter().for_each(|event| state.events.push(event));
            state.events.shrink();
            state.is_closed = true;
        }
        self.changed.notify_waiters();
    }

    /// Appends events that another process has numbered, as far as they are new. `is_last`: nothing comes after them.
    pub(crate) fn copy(&self, events: impl IntoIterator<Item = NumberedEvent>, is_last: bool) {
        {
            let mut state = self.state.lock();
            if state.is_adopted {
                return;
            }
            for (seq, event) in events {
                state.push_numbered(seq, event);
            }
            state.is_closed |= is_last;
        }
        self.changed.notify_waiters();
    }

    /// Begins to append to the log of a run that this process has taken over. `events` are all that are durable: those
    /// of the former owners, and the first of this one. Nothing is copied into the log any more.
    pub(crate) fn adopt(&self, events: impl IntoIterator<Item = NumberedEvent>) {
        {
            let mut state = self.state.lock();
            for (seq, event) in events {
                state.push_numbered(seq, event);
            }
            state.saved_seq = state.last_seq();
            state.logged_seq = state.last_seq();
            state.is_adopted = true;
            state.is_unreachable = false;
        }
        self.changed.notify_waiters();
    }

    /// Ends what [`adopt`](Self::adopt) began: this process does not own the run any more, and the log is a copy again.
    pub(crate) fn release(&self) {
        self.state.lock().is_adopted = false;
    }

    /// Returns whether this process has taken the run over, so that nothing may be copied into the log.
    pub(crate) fn is_adopted(&self) -> bool {
        self.state.lock().is_adopted
    }

    /// Returns the number of the last event; 0 before the first.
    pub(crate) fn last_seq(&self) -> u64 {
        self.state.lock().last_seq()
    }

    /// Returns about how many bytes the log holds.
    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().events.bytes()
    }

    /// Returns whether the log has its last event.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    /// Returns whether the log has a reader in this process.
    pub(crate) fn is_read(&self) -> bool {
        self.readers.load(Ordering::Relaxed) > 0
    }

    /// Sets whether the next events can be read, for a log that another process writes.
    pub(crate) fn set_unreachable(&self, is_unreachable: bool) {
        {
            let mut state = self.state.lock();
            if state.is_adopted || state.is_unreachable == is_unreachable {
                return;
            }
            state.is_unreachable = is_unreachable;
        }
        self.changed.notify_waiters();
    }

    /// Returns whether readers should not wait for the next events at the moment.
    pub(crate) fn is_unreachable(&self) -> bool {
        let state = self.state.lock();
        state.is_unreachable && !state.is_closed
    }

    /// Waits for the last event.
    pub(crate) async fn closed(&self) {
        wait_until(&self.changed, || self.is_closed()).await;
    }

    /// Moves up to `limit` events after number `after` into `into`. Returns whether the log is closed.
    pub(crate) fn read(&self, after: u64, limit: usize, into: &mut VecDeque<NumberedEvent>) -> bool {
        let state = self.state.lock();
        state.events.read(state.index_after(after), limit, |index, event| into.push_back((state.seq_at(index), event)));
        state.is_closed
    }

    /// Returns a future that is ready when the log has changed after this call.
    pub(crate) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Writes up to `limit` events that are not durable yet into a segment, for the journal, which reports the result
    /// with [`end_saving`](Self::end_saving). Returns the number of the last of them; `None` when there are none, or
    /// when the log is sealed.
    pub(crate) fn begin_segment(&self, limit: usize, segment: &mut SegmentWriter) -> Option<u64> {
        let mut state = self.state.lock();
        if state.is_sealed || state.saved_seq >= state.last_seq() {
            return None;
        }
        state.is_saving = true;
        let mut next = state.saved_seq + 1;
        state.events.each_coalesced(state.index_after(state.saved_seq), limit, ROW_BYTES, |coalesced| {
            match coalesced {
                CoalescedRef::Event(event) => segment.event(self.run_id, next, &event.json()),
                CoalescedRef::Text(text) => {
                    segment.text(self.run_id, next, text.item_id(), text.content_index(), text.cuts(), text.text());
                }
            }
            next += coalesced.len() as u64;
        });
        Some(next - 1)
    }

    /// Returns up to `limit` events that are not in `run_events` yet, for the journal, like
    /// [`begin_segment`](Self::begin_segment).
    pub(crate) fn begin_saving(&self, limit: usize) -> Option<UnsavedEvents> {
        let mut state = self.state.lock();
        if state.is_sealed || state.logged_seq >= state.last_seq() {
            return None;
        }
        state.is_saving = true;
        Some(state.events_after(state.logged_seq, limit))
    }

    /// Ends what [`begin_segment`](Self::begin_segment) or [`begin_saving`](Self::begin_saving) began.
    pub(crate) fn end_saving(&self, saved: Saved) {
        {
            let mut state = self.state.lock();
            state.is_saving = false;
            match saved {
                Saved::Logged(seq) => {
                    state.logged_seq = state.logged_seq.max(seq);
                    state.saved_seq = state.saved_seq.max(seq);
                    if state.logged_seq >= state.saved_seq {
                        state.first_segment = None;
                    }
                }
                Saved::InSegment(seq, segment) => {
                    state.saved_seq = state.saved_seq.max(seq);
                    state.first_segment.get_or_insert_with(|| (segment, Instant::now()));
                }
                Saved::Unknown => {}
            }
        }
        self.saved.notify_waiters();
    }

    /// Returns the events that are not durable yet, as the journal is about to write them.
    pub(crate) fn unsaved(&self, limit: usize) -> UnsavedEvents {
        let state = self.state.lock();
        state.events_after(state.saved_seq, limit)
    }

    /// Returns the first segment with events that are nowhere else, and when it was written.
    pub(crate) fn first_segment(&self) -> Option<(i64, Instant)> {
        self.state.lock().first_segment
    }

    /// Takes the log from the journal, after the write that is under way. Returns the events that are not in
    /// `run_events`.
    pub(crate) async fn seal(&self) -> UnsavedEvents {
        self.state.lock().is_sealed = true;
        wait_until(&self.saved, || !self.state.lock().is_saving).await;
        let state = self.state.lock();
        state.events_after(state.logged_seq, usize::MAX)
    }
}

async fn wait_until(notify: &Notify, condition: impl Fn() -> bool) {
    loop {
        let notified = notify.notified();
        if condition() {
            return;
        }
        notified.await;
    }
}

impl State {
    /// Appends an event that is numbered already, unless it is there.
    fn push_numbered(&mut self, seq: u64, event: Event) {
        let last = self.last_seq();
        if seq <= last {
            return;
        }
        if seq > last + 1 {
            self.epoch_starts.push((self.events.len(), seq));
        }
        self.events.push(event);
    }

    fn seq_at(&self, index: usize) -> u64 {
        match self.epoch_starts.iter().rfind(|(start, _)| index >= *start) {
            Some((start, seq)) => seq + (index - start) as u64,
            None => index as u64 + 1,
        }
    }

    /// Returns the index of the first event with a greater number than this.
    fn index_after(&self, number: u64) -> usize {
        let to_index = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let is_later = |(_, seq): &&(usize, u64)| *seq > number;
        let next_start = self.epoch_starts.iter().find(is_later).map_or(usize::MAX, |(start, _)| *start);
        let (start, seq) = self.epoch_starts.iter().rfind(|start| !is_later(start)).copied().unwrap_or((0, 1));
        start.saturating_add(to_index(number.saturating_add(1).saturating_sub(seq))).min(next_start)
    }

    fn last_seq(&self) -> u64 {
        self.events.len().checked_sub(1).map_or(0, |index| self.seq_at(index))
    }

    fn events_after(&self, after: u64, limit: usize) -> UnsavedEvents {
        UnsavedEvents { first_seq: after + 1, events: self.events.coalesced(self.index_after(after), limit, ROW_BYTES) }
    }
}
