//! Raw bytes on a socket, which no client library would send.

use crate::support::PATIENCE;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// A frame that ends a message of text.
pub const TEXT: u8 = 0x81;

/// Opens a connection with this size of the receive buffer.
pub async fn connect(address: &str, room: u32) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(room).unwrap();
    let stream = socket.connect(address.parse().unwrap()).await.expect("a connection");
    stream.set_nodelay(true).unwrap();
    stream
}

/// The head of a handshake.
pub fn handshake(token: Option<&str>) -> String {
    let auth = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!(
        "GET /rpc HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{auth}\r\n"
    )
}

/// A WebSocket after its handshake.
pub async fn upgraded(address: &str, token: Option<&str>, room: u32) -> TcpStream {
    let mut stream = connect(address, room).await;
    stream.write_all(handshake(token).as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(stream.read_u8()).await.expect("an answer to the handshake"));
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream
}

/// A frame as a client sends it. The mask is all zeros, so the payload stands there as it is.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ ..126 => bytes.push(0x80 | u8::try_from(short).unwrap()),
        long @ ..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&u16::try_from(long).unwrap().to_be_bytes());
        }
        longer => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(longer as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

/// The next message of text that a server sends.
pub async fn next_text(stream: &mut TcpStream) -> String {
    loop {
        let (opcode, payload) = next_frame(stream).await.expect("the socket is open");
        if opcode == 1 {
            return String::from_utf8(payload).unwrap();
        }
    }
}

/// How the server closes the socket: the code and the reason. What comes before is skipped.
pub async fn closed(stream: &mut TcpStream) -> (u16, String) {
    loop {
        let (opcode, payload) = next_frame(stream).await.expect("a close frame before the end");
        if opcode == 8 {
            let (code, reason) = payload.split_first_chunk::<2>().expect("a code");
            return (u16::from_be_bytes(*code), String::from_utf8(reason.to_vec()).unwrap());
        }
    }
}

/// The next frame of any kind, with its opcode.
pub async fn next_frame(stream: &mut TcpStream) -> std::io::Result<(u8, Vec<u8>)> {
    let first = within(stream.read_u8()).await?;
    let length = match within(stream.read_u8()).await? {
        126 => u64::from(within(stream.read_u16()).await?),
        127 => within(stream.read_u64()).await?,
        short => u64::from(short),
    };
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    within(stream.read_exact(&mut payload)).await?;
    Ok((first & 0x0f, payload))
}

/// The next byte.
pub async fn byte(stream: &mut TcpStream) -> u8 {
    within(stream.read_u8()).await.expect("a byte before the end")
}

/// Reads to the end, which has to come.
pub async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end too.
    let _ = within(stream.read_to_end(&mut bytes)).await;
    bytes
}

/// Bytes with a pause between each, so that each arrives by itself.
pub async fn trickle(stream: &mut TcpStream, bytes: &[u8]) {
    for byte in bytes {
        stream.write_all(&[*byte]).await.expect("the socket is open");
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens in time")
}
