//! Reads the segments of the log, as far as the tests need it: which events are in the database.

use uuid::Uuid;

/// Returns the number of the last event of a run in a segment; 0 if it has none. `None` if it cannot be read.
pub fn last_event(segment: &[u8], run: Uuid) -> Option<u64> {
    let (version, mut rest) = segment.split_first()?;
    assert_eq!(*version, 1);
    let mut last = 0;
    while !rest.is_empty() {
        let (id, after) = rest.split_at_checked(16)?;
        let (first, after) = number(after)?;
        let (kind, after) = after.split_first()?;
        let (count, length, after) = match kind {
            0 => {
                let (length, after) = number(after)?;
                (1, length, after)
            }
            _ => {
                let (_item, after) = after.split_at_checked(16)?;
                let (_index, after) = number(after)?;
                let (count, mut after) = number(after)?;
                let mut length = 0;
                for _ in 0..count {
                    let (cut, rest) = number(after)?;
                    (length, after) = (length + cut, rest);
                }
                (count, length, after)
            }
        };
        rest = after.get(usize::try_from(length).ok()?..)?;
        if id == run.as_bytes() {
            last = last.max(first + count - 1);
        }
    }
    Some(last)
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let (digits, rest) = bytes.split_at(end);
    Some((digits.iter().rev().fold(0, |number, byte| number << 7 | u64::from(byte & 0x7f)), rest))
}
