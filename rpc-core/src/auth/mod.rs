//! Authentication: passwords prove who logs in, tokens prove who calls.

pub(crate) mod login_guard;
pub(crate) mod password;
pub(crate) mod token;
