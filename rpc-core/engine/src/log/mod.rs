//! The events of a run: in memory, and their form in the database.

mod event_codec;
mod event_list;
#[cfg(test)]
mod properties;
mod run_log;
#[cfg(test)]
mod run_log_tests;
mod segment_positions;

pub(crate) use event_codec::{decode_logged, decode_row, encode_events, encode_rows, last_seq_before_epoch};
pub(crate) use event_list::CoalescedEvent;
pub(crate) use run_log::{NumberedEvent, ReaderGuard, RunLog, Saved, UnsavedEvents};
pub(crate) use segment_positions::{SegmentPosition, SegmentPositions};
