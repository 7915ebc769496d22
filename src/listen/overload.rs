//! The response to a connection beyond the maximum number.

use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Maximum number of such responses at a time. Further connections are closed without a response.
pub(super) const MAX_CONCURRENT: usize = 64;

/// Maximum lifetime of such a connection.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The same form as all errors of the REST API, although the request is not read.
const RESPONSE: &str = concat!(
    "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: 170\r\n",
    "retry-after: 1\r\nconnection: close\r\n\r\n",
    r#"{"success":false,"error":{"code":"SERVICE_UNAVAILABLE","message":"The server has too many connections. Please try again in a moment.","docs":"/docs#SERVICE_UNAVAILABLE"}}"#
);

/// Sends the response and closes the connection. Reads what the peer sends until the peer closes too: closing a socket
/// that has unread bytes resets the connection, and the peer may then lose the response.
pub(super) async fn refuse(mut stream: TcpStream) {
    let respond = async {
        stream.write_all(RESPONSE.as_bytes()).await?;
        stream.shutdown().await?;
        let mut unread = [0; 512];
        while stream.read(&mut unread).await? > 0 {}
        std::io::Result::Ok(())
    };
    // A failure or a timeout changes nothing: the connection is closed in any case.
    let _ = tokio::time::timeout(TIMEOUT, respond).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_response_is_complete_and_has_a_code_of_the_error_table() {
        let (head, body) = RESPONSE.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"]["code"], threadline_schema::ErrorCode::ServiceUnavailable.name());
    }
}
