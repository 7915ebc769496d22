//! A TCP relay to one address, which can be cut.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

pub struct Proxy {
    pub address: SocketAddr,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Proxy {
    /// Passes on to this address, from now on and as long as the test runs.
    pub async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let this = Self { address: listener.local_addr().unwrap(), connections: Arc::default() };
        let connections = this.connections.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let target = target.clone();
                let connection = tokio::spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(&target).await {
                        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    }
                });
                connections.lock().unwrap().push(connection.abort_handle());
            }
        });
        this
    }

    /// Closes all connections; new ones are possible. Returns the number of closed ones.
    pub fn cut(&self) -> usize {
        let cut: Vec<_> = self.connections.lock().unwrap().drain(..).filter(|task| !task.is_finished()).collect();
        cut.iter().for_each(AbortHandle::abort);
        cut.len()
    }
}

/// Returns a port on which nothing listens.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().unwrap().port()
}
