//! A relay in front of a server, which can be cut or paused. The server stays available for other tests.

use std::net::SocketAddr;
use std::sync::Arc;
use threadline_test_requirements::Requirement;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// Connections are accepted, and nothing is passed on.
    Stuck,
    /// Connections are closed.
    Cut,
}

/// A relay between the service and a server that it needs.
pub struct Relay {
    address: SocketAddr,
    way: Arc<watch::Sender<Way>>,
}

impl Relay {
    /// Starts in front of the Redis server of the tests; `None` when there is no server.
    pub async fn start() -> Option<Self> {
        let url = Requirement::Redis.find()?;
        let target = url.trim_end_matches('/').rsplit(['/', '@']).next().expect("a host").to_owned();
        Some(Self::before(target).await)
    }

    /// Starts in front of the server at `host:port`.
    pub async fn before(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let way = Arc::new(watch::Sender::new(Way::Open));
        let changes = way.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(pass(near, target.clone(), changes.subscribe()));
            }
        });
        Self { address, way }
    }

    /// Returns the address of the relay.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the value of `REDIS_URL`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Closes all connections, and each new one.
    pub fn cut(&self) {
        self.way.send_replace(Way::Cut);
    }

    /// Passes nothing on, like a server that hangs.
    pub fn hold(&self) {
        self.way.send_replace(Way::Stuck);
    }

    /// Passes everything on again.
    pub fn mend(&self) {
        self.way.send_replace(Way::Open);
    }
}

async fn pass(near: TcpStream, target: String, mut way: watch::Receiver<Way>) {
    if *way.borrow() == Way::Cut {
        return;
    }
    let far = TcpStream::connect(target).await.expect("the server behind it is there");
    let (mut near_in, mut near_out) = near.into_split();
    let (mut far_in, mut far_out) = far.into_split();
    loop {
        if way.wait_for(|way| *way != Way::Stuck).await.is_err() || *way.borrow() == Way::Cut {
            return;
        }
        // Bytes that were read and not yet written are lost with a copy task. So pause a connection only while it is
        // silent.
        tokio::select! {
            _ = tokio::io::copy(&mut near_in, &mut far_out) => return,
            _ = tokio::io::copy(&mut far_in, &mut near_out) => return,
            _ = way.changed() => {}
        }
    }
}
