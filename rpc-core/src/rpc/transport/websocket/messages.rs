//! The messages of one socket: each is answered in a task of its own.

use super::metered::Overflow;
use super::subscriptions::{Subscription, Subscriptions};
use crate::rpc::call::{CallKind, Connection};
use crate::rpc::pipeline::Pipeline;
use crate::rpc::transport::Inner;
use crate::rpc::transport::codec::{self, Responder};
use crate::rpc::transport::envelope::{Id, Request};
use crate::rpc::transport::response;
use parking_lot::Mutex;
use std::sync::Arc;
use threadline_runtime::ByteHold;
use threadline_schema::{ErrorCode, RpcError};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Messages that wait until a socket can be written to. The answers and subscriptions of a socket share them.
const BUFFERED_MESSAGES: usize = 256;

/// What the messages of one socket share. Clones share it.
#[derive(Clone)]
pub(super) struct Messages {
    shared: Arc<Shared>,
    outgoing: mpsc::Sender<String>,
}

struct Shared {
    inner: Arc<Inner>,
    connection: Connection,
    subscriptions: Subscriptions,
}

impl Messages {
    /// Returns the messages of a socket, and what is to be sent on it.
    pub(super) fn new(inner: Arc<Inner>, connection: Connection) -> (Self, mpsc::Receiver<String>) {
        let (outgoing, receiver) = mpsc::channel(BUFFERED_MESSAGES);
        let shared = Arc::new(Shared { inner, connection, subscriptions: Subscriptions::default() });
        (Self { shared, outgoing }, receiver)
    }

    /// Answers a message. If it subscribes, sends the events until the subscription ends. `unanswered` is dropped with
    /// the answer.
    pub(super) async fn answer(self, message: Utf8Bytes, input: Option<ByteHold>, unanswered: OwnedSemaphorePermit) {
        let responder = SocketResponder { shared: &self.shared, subscription: Mutex::new(None) };
        let answer = Box::pin(codec::respond_to_message(&responder, message.as_bytes())).await;
        drop(message);
        drop(input);
        let subscription = responder.subscription.into_inner();
        if let Some(answer) = answer
            // Fails if the socket is closed.
            && self.outgoing.send(answer).await.is_err()
        {
            return;
        }
        drop(unanswered);
        if let Some(subscription) = subscription {
            subscription.send_events(&self.outgoing).await;
        }
    }

    /// Returns the response to a message that was not read, so that its id is not known.
    pub(super) fn not_read(overflow: Option<Overflow>) -> String {
        let error = match overflow {
            None => RpcError::new(ErrorCode::PayloadTooLarge, "The message is larger than this server reads."),
            Some(Overflow::Stranger) => RpcError::new(ErrorCode::PayloadTooLarge, Overflow::Stranger.reason()),
            Some(Overflow::Budget) => RpcError::new(ErrorCode::ServiceUnavailable, Overflow::Budget.reason()),
        };
        response::failure(Id::NULL, &response::error_object(&error))
    }
}

/// Answers the calls of one message: subscriptions with their id, everything else as over HTTP.
struct SocketResponder<'s> {
    shared: &'s Shared,
    /// The subscription that the message has started.
    subscription: Mutex<Option<Subscription>>,
}

impl Responder for SocketResponder<'_> {
    fn pipeline(&self) -> &Pipeline {
        &self.shared.inner.parts.pipeline
    }

    fn max_batch_entries(&self) -> usize {
        self.shared.inner.parts.max_batch_entries
    }

    fn connection(&self) -> &Connection {
        &self.shared.connection
    }

    async fn respond(&self, request: Request<'_>, kind: CallKind) -> String {
        let Shared { inner, connection, subscriptions } = self.shared;
        let Request { id, method, params } = request;
        let id = id.unwrap_or(Id::NULL);
        let params = params.map(|params| params.get());
        if let Some(name) = inner.sockets.unsubscribes.find(&method) {
            let call = connection.call(method, params, kind);
            return subscriptions.unsubscribe(&inner.parts.pipeline, name, id, call);
        }
        let subscription = inner.parts.pipeline.registry().find(&method).filter(|method| method.is_subscription());
        match subscription.filter(|_| kind == CallKind::Single) {
            Some(info) => {
                let call = connection.call(method, params, kind);
                match Box::pin(subscriptions.subscribe(&inner.parts.pipeline, info.info, call)).await {
                    Ok(subscription) => {
                        let answer = subscription.answer(id);
                        *self.subscription.lock() = Some(subscription);
                        answer
                    }
                    Err(error) => response::failure(id, &error),
                }
            }
            None => codec::respond_to_call(&inner.parts.pipeline, id, connection.call(method, params, kind)).await,
        }
    }
}
