//! Numbers of the service are unsigned, and those of the database are signed.

/// Converts a number to the type of the database. Saturates.
pub fn to_signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Converts a number of the database, where it is never negative.
pub fn to_unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
