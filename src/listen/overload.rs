//! The answer to a connection that is one too many.

use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Such answers under way at a time; connections beyond are closed without one.
pub(super) const AT_A_TIME: usize = 64;

/// How long such a connection may stay in all.
const PATIENCE: Duration = Duration::from_secs(1);

/// In the form of every error of the REST API, though nobody has read the request.
const ANSWER: &str = concat!(
    "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: 135\r\n",
    "retry-after: 1\r\nconnection: close\r\n\r\n",
    r#"{"success":false,"error":{"code":"SERVICE_UNAVAILABLE","message":"The server has too many connections. Please try again in a moment."}}"#
);

/// Says so and closes. What the peer has sent is read until it closes too: closing a socket with unread bytes resets
/// it, and the reset overtakes the answer.
pub(super) async fn refuse(mut stream: TcpStream) {
    let answer = async {
        stream.write_all(ANSWER.as_bytes()).await?;
        stream.shutdown().await?;
        let mut unread = [0; 512];
        while stream.read(&mut unread).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Whether the peer heard it makes no difference any more.
    let _ = tokio::time::timeout(PATIENCE, answer).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_whole_and_names_a_row_of_the_error_table() {
        let (head, body) = ANSWER.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"]["code"], threadline_schema::ErrorCode::ServiceUnavailable.name());
    }
}
