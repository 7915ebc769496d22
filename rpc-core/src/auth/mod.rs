//! Who somebody is: tokens and passwords.

pub(crate) mod password;
pub(crate) mod token;
