//! Why this side closes a socket: the codes of RFC 6455, section 7.4, with a reason.

use super::metered::Overflow;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// Maximum number of bytes of a reason: a control frame has 125, and two of them are the code.
const MAX_REASON_BYTES: usize = 123;

/// The process stops.
pub(super) fn going_away() -> CloseFrame {
    frame(CloseCode::Away, "The server is stopping.")
}

/// A message is binary.
pub(super) fn binary() -> CloseFrame {
    frame(CloseCode::Unsupported, "JSON-RPC is sent as text.")
}

/// The peer does not answer pings.
pub(super) fn silent() -> CloseFrame {
    frame(CloseCode::Policy, "Pings were not answered.")
}

/// No call was authenticated in time.
pub(super) fn stranger(timeout: Duration) -> CloseFrame {
    frame(CloseCode::Policy, &format!("No call was authenticated within {} s.", timeout.as_secs_f32()))
}

/// The message is more than may be read now.
pub(super) fn overflow(overflow: Overflow) -> CloseFrame {
    let code = match overflow {
        Overflow::Stranger => CloseCode::Size,
        Overflow::Budget => CloseCode::Again,
    };
    frame(code, overflow.reason())
}

/// A call has panicked.
pub(super) fn internal_error() -> CloseFrame {
    frame(CloseCode::Error, "Something went wrong on the server.")
}

/// Returns how to close after an error of reading; `None` if the connection is gone.
pub(super) fn after(error: &Error) -> Option<CloseFrame> {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { max_size, .. }) => {
            Some(frame(CloseCode::Size, &format!("A message may have {max_size} bytes.")))
        }
        Error::Utf8(_) => Some(frame(CloseCode::Invalid, "Text must be valid UTF-8.")),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(error) => Some(frame(CloseCode::Protocol, &error.to_string())),
        _ => None,
    }
}

fn frame(code: CloseCode, reason: &str) -> CloseFrame {
    let cut = reason.get(..reason.floor_char_boundary(MAX_REASON_BYTES)).unwrap_or_default();
    CloseFrame { code, reason: cut.into() }
}
