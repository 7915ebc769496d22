//! Validation that params of many methods share: page sizes, cursors, texts.

use crate::error::Error;
use crate::store::ThreadCursor;
use std::ops::RangeInclusive;
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::{Id, ThreadId};
use threadline_schema::page::DEFAULT_LIMIT;

/// Maximum number of rows of a page, unless a method sets another maximum.
pub(crate) const MAX: u32 = threadline_schema::page::MAX_LIMIT;

/// The times that a cursor can have, in microseconds: from 1970 until 9999. The calendars of the databases end at
/// different times.
const TIMES: RangeInclusive<i64> = 0..=253_402_300_799_999_999;

/// Returns how many rows the page has.
///
/// # Errors
/// `INVALID_REQUEST` unless it is 1 to `max`.
pub(crate) fn limit(requested: Option<u32>, max: u32) -> Result<u32, Error> {
    match requested.unwrap_or(DEFAULT_LIMIT) {
        limit if (1..=max).contains(&limit) => Ok(limit),
        limit => Err(Error::invalid(format!("`limit` must be 1 to {max}; it is {limit}."))),
    }
}

/// Parses a cursor that is the id of a row.
pub(crate) fn id_cursor<T: Id>(after: Option<&str>) -> Result<Option<T>, Error> {
    after.map(|after| after.trim().parse().map_err(|_| bad_cursor())).transpose()
}

/// Parses a cursor of the list of threads. It contains the position itself, because a thread moves in the list when it
/// is used. The id of a thread is accepted too, and means its current position.
pub(crate) fn thread_cursor(after: Option<&str>) -> Result<Option<ThreadCursor>, Error> {
    let Some(after) = after.map(str::trim) else { return Ok(None) };
    if let Ok(id) = after.parse::<ThreadId>() {
        return Ok(Some(ThreadCursor::Id(id)));
    }
    time_cursor(Some(after)).map(|position| position.map(|(at, id)| ThreadCursor::Key(at, id)))
}

/// Parses a cursor of a list that is ordered by a time and then by an id.
pub(crate) fn time_cursor<T: Id>(after: Option<&str>) -> Result<Option<(UtcTime, T)>, Error> {
    let Some(after) = after.map(str::trim) else { return Ok(None) };
    let (micros, id) = after.split_once('_').ok_or_else(bad_cursor)?;
    let micros = micros.parse().ok().filter(|micros| TIMES.contains(micros));
    let at = micros.and_then(UtcTime::from_micros).ok_or_else(bad_cursor)?;
    let id = id.parse().map_err(|_| bad_cursor())?;
    Ok(Some((at, id)))
}

/// Returns the cursor of a position in such a list.
pub(crate) fn write_time_cursor<T: Id>(at: UtcTime, id: T) -> String {
    format!("{}_{}", at.micros(), id)
}

/// Parses a cursor of a list that is ordered by two numbers and then by an id.
pub(crate) fn number_cursor<T: Id>(after: Option<&str>) -> Result<Option<(i64, i64, T)>, Error> {
    let Some(after) = after.map(str::trim) else { return Ok(None) };
    let mut parts = after.splitn(3, '_');
    let mut number = || parts.next().and_then(|part| part.parse::<i64>().ok()).ok_or_else(bad_cursor);
    let (first, second) = (number()?, number()?);
    let id = parts.next().and_then(|part| part.parse().ok()).ok_or_else(bad_cursor)?;
    Ok(Some((first, second, id)))
}

/// Returns the cursor of a position in such a list.
pub(crate) fn write_number_cursor<T: Id>(first: i64, second: i64, id: T) -> String {
    format!("{first}_{second}_{id}")
}

/// Returns the cursor of a position in the list of threads.
pub(crate) fn write_thread_cursor(at: UtcTime, id: ThreadId) -> String {
    write_time_cursor(at, id)
}

/// Checks that a text has at most this many characters, and none that a database cannot store.
pub(crate) fn text(name: &str, text: String, max_chars: usize) -> Result<String, Error> {
    let chars = text.chars().count();
    if chars > max_chars {
        return Err(Error::invalid(format!("`{name}` has {chars} characters; at most {max_chars} are allowed.")));
    }
    if text.contains('\0') {
        return Err(Error::invalid(format!("`{name}` contains a NUL character.")));
    }
    Ok(text)
}

fn bad_cursor() -> Error {
    Error::invalid("`after` is not a cursor of this list. Send the `after` of the previous page.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_cursor_is_parsed_back() {
        let (at, id) = (UtcTime::from_micros(1_800_000_000_123_456).unwrap(), ThreadId::random());
        match thread_cursor(Some(&write_thread_cursor(at, id))).unwrap() {
            Some(ThreadCursor::Key(back, same)) => assert_eq!((back, same), (at, id)),
            _ => panic!("not a position"),
        }
        for bad in ["", "x", "1_2", "_", "99999999999999999999_00000000-0000-0000-0000-000000000000"] {
            assert!(thread_cursor(Some(bad)).is_err(), "{bad}");
        }
        assert!(thread_cursor(None).unwrap().is_none());
        let at = |micros: i64| time_cursor::<ThreadId>(Some(&format!("{micros}_{}", ThreadId::nil())));
        assert!(at(0).is_ok() && at(253_402_300_799_999_999).is_ok());
        for no_time in [-1, -300_000_000_000_000_000, 253_402_300_800_000_000, i64::MIN, i64::MAX] {
            assert!(at(no_time).is_err(), "{no_time}");
        }
    }

    #[test]
    fn a_page_has_at_least_one_row_and_not_too_many() {
        assert_eq!(limit(None, MAX).unwrap(), 20);
        assert_eq!(limit(Some(100), MAX).unwrap(), 100);
        assert!(limit(Some(0), MAX).is_err());
        assert!(limit(Some(101), MAX).is_err());
    }
}
