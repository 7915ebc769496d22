//! What a feed gives its subscriber.

use crate::event::Event;
use crate::ids::RunId;

/// An event of a run, or a side event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// An event of a run.
    Run {
        /// The run.
        run_id: RunId,
        /// Sequence number of the event in its run, from 1. The `error` event that ends a feed early is not stored and
        /// has no number: it has the number of the event before it, so a cursor stays where it was.
        seq: u64,
        /// The event.
        event: Event,
    },
    /// A side event. It belongs to no run and moves no cursor.
    Side(Event),
}

impl Frame {
    /// Creates the frame of a notification. On the wire a side event has the number 0.
    pub fn from_wire(run_id: Option<RunId>, seq: u64, event: Event) -> Self {
        match run_id {
            Some(run_id) if seq > 0 => Self::Run { run_id, seq, event },
            _ => Self::Side(event),
        }
    }

    /// Returns the event.
    pub const fn event(&self) -> &Event {
        match self {
            Self::Run { event, .. } | Self::Side(event) => event,
        }
    }
}
