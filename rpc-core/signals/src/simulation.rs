//! Signals for simulations: a test carries them between simulated processes, and loses, delays and repeats them.

use super::message::{Signal, encode_signals};
use super::outbox::Pace;
use super::{COMMANDS_WAITING, Followers, Outbox, Shared, Signals};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

const PACE: Pace = Pace {
    urgent: Duration::from_millis(20),
    urgent_gap: Duration::from_millis(100),
    growth: Duration::from_millis(250),
};

/// Hands signals of other processes to a simulated process.
#[derive(Clone)]
pub struct SignalInbox(Arc<Shared>);

impl SignalInbox {
    /// Delivers a message that another process has sent.
    pub fn deliver(&self, message: &str) {
        self.0.receive(message);
    }
}

impl Signals {
    /// Creates the signals of a simulated process, which sends them into `network`.
    pub fn simulated(sender_id: Uuid, network: mpsc::UnboundedSender<String>) -> (Self, SignalInbox) {
        let shared = Arc::new(Shared {
            sender_id,
            outbox: Outbox::default(),
            followers: Followers::default(),
            commands: broadcast::Sender::new(COMMANDS_WAITING),
            access: broadcast::Sender::new(COMMANDS_WAITING),
        });
        let task_shared = shared.clone();
        let carry = async move {
            let shared = task_shared;
            let send = async {
                shared.connected();
                loop {
                    let batch = shared.outbox.next(PACE).await;
                    let grown = batch.grown.into_iter();
                    let grown = grown.map(|(run_id, grown)| Signal::Grown {
                        run_id,
                        last_seq: grown.last_seq,
                        ended: grown.ended,
                    });
                    for message in encode_signals(shared.sender_id, batch.commands.into_iter().chain(grown), 7_900) {
                        if network.send(message).is_err() {
                            return;
                        }
                    }
                }
            };
            tokio::join!(send, shared.keep_announcing());
        };
        (Self { shared: shared.clone(), carrier: Some(spawn(carry)) }, SignalInbox(shared))
    }
}

#[expect(clippy::disallowed_methods, reason = "a simulated process is not the process of its supervisor")]
fn spawn(carry: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<Option<()>> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        carry.await;
        Some(())
    }))
}
