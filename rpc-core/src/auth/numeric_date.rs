//! Dates in tokens (`NumericDate` in RFC 7519): seconds since 1970, which may have a fraction.

use chrono::{DateTime, Utc};
use serde::Deserialize;

/// A date in a token. Any number is one, however far away.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Deserialize)]
#[serde(transparent)]
pub(crate) struct NumericDate(f64);

impl NumericDate {
    /// Returns the seconds since 1970.
    pub(crate) fn seconds(self) -> f64 {
        self.0
    }

    /// Returns whether the date is later than a time.
    #[allow(clippy::cast_precision_loss, reason = "microseconds of this century fit into a double")]
    pub(crate) fn is_after(self, time: DateTime<Utc>) -> bool {
        self.0 > time.timestamp_micros() as f64 / 1e6
    }

    /// Returns the time, or the last one that the calendar has.
    #[allow(clippy::cast_possible_truncation, reason = "the cast saturates")]
    pub(crate) fn time(self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.0.floor() as i64, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}
