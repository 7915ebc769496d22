//! Reads a header of the response that opens a socket, which the WebSocket client does not pass on.

use std::sync::{Arc, OnceLock};
use threadline_schema::head::MESSAGE_BYTES_HEADER;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::InspectReader;

/// Longest head that is read, in bytes. The header is not looked for in a longer one.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// What ends a head.
const END: &[u8] = b"\r\n\r\n";

/// How large a message may be, in bytes, once the core has said it.
pub(super) type MessageBytes = Arc<OnceLock<usize>>;

/// Returns a stream that begins with the head of a response, and where the limit of the core is told once the head was
/// read.
pub(super) fn inspect_head<S: AsyncRead + AsyncWrite>(
    stream: S,
) -> (InspectReader<S, impl FnMut(&[u8])>, MessageBytes) {
    let message_bytes = MessageBytes::default();
    let told = message_bytes.clone();
    // What was read of the head; `None` after its end.
    let mut begun = Some(Vec::new());
    let inspect = move |bytes: &[u8]| {
        let Some(head) = &mut begun else { return };
        head.extend_from_slice(bytes.get(..MAX_HEAD_BYTES.saturating_sub(head.len())).unwrap_or(bytes));
        let is_whole = head.windows(END.len()).any(|bytes| bytes == END);
        if !is_whole && head.len() < MAX_HEAD_BYTES {
            return;
        }
        if let Some(limit) = message_bytes_of(head) {
            // It is set once: the head is forgotten now.
            let _ = told.set(limit);
        }
        begun = None;
    };
    (InspectReader::new(stream, inspect), message_bytes)
}

/// Returns the limit that a head tells.
fn message_bytes_of(head: &[u8]) -> Option<usize> {
    let head = head.windows(END.len()).position(|bytes| bytes == END).and_then(|end| head.get(..end))?;
    let lines = std::str::from_utf8(head).ok()?.split("\r\n");
    let mut headers = lines.filter_map(|line| line.split_once(':'));
    let (_, value) = headers.find(|(name, _)| name.eq_ignore_ascii_case(MESSAGE_BYTES_HEADER))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn the_limit_is_found_however_the_head_is_cut() {
        let told =
            format!("HTTP/1.1 101 Switching\r\nupgrade: websocket\r\n{MESSAGE_BYTES_HEADER}: 70000\r\n\r\nframes");
        let long = format!("HTTP/1.1 101 Switching\r\nx: {}\r\n\r\n", "x".repeat(MAX_HEAD_BYTES));
        let late = format!("HTTP/1.1 101 Switching\r\n\r\n{MESSAGE_BYTES_HEADER}: 1\r\n\r\n");
        let wrong = format!("HTTP/1.1 101 Switching\r\n{MESSAGE_BYTES_HEADER}: many\r\n\r\n");
        for (text, limit) in [(&told, Some(70_000)), (&long, None), (&late, None), (&wrong, None)] {
            for size in [1, 7, 64, text.len()] {
                let (mut core, gateway) = tokio::io::duplex(size);
                let write = async move { core.write_all(text.as_bytes()).await.unwrap() };
                let (mut reader, message_bytes) = inspect_head(gateway);
                let mut bytes = Vec::new();
                let (_, read) = tokio::join!(write, reader.read_to_end(&mut bytes));
                assert_eq!((message_bytes.get().copied(), read.unwrap()), (limit, text.len()), "{size}: {text}");
            }
        }
    }
}
