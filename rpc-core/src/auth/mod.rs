//! Authentication: passwords at the login, and tokens and service keys at each call.

pub(crate) mod email;
pub(crate) mod foreign;
pub(crate) mod grant;
mod known;
pub(crate) mod login_guard;
mod numeric_date;
pub(crate) mod password;
pub(crate) mod secret_code;
pub(crate) mod service_keys;
pub(crate) mod standing;
pub(crate) mod standings;
pub(crate) mod token;
pub(crate) mod verifier;
