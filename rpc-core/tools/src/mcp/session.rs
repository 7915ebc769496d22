//! Makes calls over one connection to a server, and receives their progress.

use super::connection::Connection;
use super::message::{Answer, read_answer};
use crate::progress::ProgressReporter;
use futures::{FutureExt, StreamExt};
use rmcp::handler::client::progress::ProgressDispatcher;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientRequest, ProgressNotificationParam, ReadResourceRequest,
    ReadResourceRequestParams, ServerResult,
};
use rmcp::service::{PeerRequestOptions, RequestHandle};
use rmcp::{Peer, RoleClient, ServiceError};
use serde_json::Value;
use tokio::task::unconstrained;

/// Makes calls over one connection.
#[derive(Clone)]
pub(super) struct McpSession {
    peer: Peer<RoleClient>,
    /// Belongs to the connection, like the progress tokens: the next connection counts them from the beginning.
    progress: ProgressDispatcher,
}

/// A request in flight. Dropping it tells the server that the request is cancelled.
struct RequestGuard(Option<RequestHandle<RoleClient>>);

impl McpSession {
    pub(super) fn new(connection: &Connection) -> Self {
        Self { peer: connection.peer().clone(), progress: connection.service().progress.clone() }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.peer.is_transport_closed()
    }

    /// Makes a request.
    ///
    /// # Errors
    /// If there is no answer. An error of the server is an answer; one of `rmcp` itself says that the answer was lost.
    pub(super) async fn request(&self, request: ClientRequest) -> Result<Answer, ServiceError> {
        let handle = self.peer.send_cancellable_request(request, PeerRequestOptions::no_options()).await?;
        RequestGuard(Some(handle)).response().await.map(read_answer)
    }

    /// Reads a resource; `None` if the server does not give it.
    pub(super) async fn read_resource(&self, uri: &str) -> Option<Value> {
        let request = ReadResourceRequest::new(ReadResourceRequestParams::new(uri));
        match self.request(ClientRequest::ReadResourceRequest(request)).await {
            Ok(Answer::Result(resource)) => Some(resource),
            Ok(Answer::Refused(_)) | Err(_) => None,
        }
    }

    /// Calls a tool and passes its progress notifications to `progress`. `title` is for notifications without a text.
    pub(super) async fn call_tool(
        &self,
        params: CallToolRequestParams,
        title: &str,
        progress: &ProgressReporter,
    ) -> Result<Answer, ServiceError> {
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let handle = self.peer.send_cancellable_request(request, PeerRequestOptions::no_options()).await?;
        // The token exists only now. A notification that arrives before the next line, within microseconds, is lost.
        let mut notifications = self.progress.subscribe(handle.progress_token.clone()).await;
        let mut request = RequestGuard(Some(handle));
        let mut highest = f64::NEG_INFINITY;
        loop {
            tokio::select! {
                biased;
                response = request.response() => return response.map(read_answer),
                Some(notification) = notifications.next() => {
                    // Progress only increases; notifications can arrive out of order.
                    if notification.progress >= highest {
                        highest = notification.progress;
                        progress.report(&progress_text(title, notification));
                    }
                }
            }
        }
    }
}

impl RequestGuard {
    /// Waits for the response. Cancel-safe until it has returned.
    async fn response(&mut self) -> Result<ServerResult, ServiceError> {
        let Some(handle) = &mut self.0 else { return Err(ServiceError::TransportClosed) };
        let response = (&mut handle.rx).await;
        self.0 = None;
        response.unwrap_or(Err(ServiceError::TransportClosed))
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        if let Some(handle) = self.0.take() {
            // One poll puts the cancellation into the queue of the connection; a destructor cannot wait for more.
            let _ = unconstrained(handle.cancel(Some("the caller no longer waits for the result".to_owned())))
                .now_or_never();
        }
    }
}

/// Returns the server's text, or the percentage that is done; an empty text if the server gave neither.
fn progress_text(
    title: &str,
    ProgressNotificationParam { progress, total, message, .. }: ProgressNotificationParam,
) -> String {
    match (message.filter(|message| !message.trim().is_empty()), total) {
        (Some(message), _) => message,
        (None, Some(total)) if total > 0.0 => {
            format!("{title} ({:.0} %)", (progress / total * 100.0).clamp(0.0, 100.0))
        }
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rmcp::model::{NumberOrString, ProgressToken};

    #[test]
    fn progress_has_the_text_of_the_server_or_a_percentage() {
        let text = |progress, total, message: Option<&str>| {
            let mut notification = ProgressNotificationParam::new(ProgressToken(NumberOrString::Number(1)), progress);
            (notification.total, notification.message) = (total, message.map(ToOwned::to_owned));
            progress_text("Copy", notification)
        };
        assert_eq!(text(1.0, Some(3.0), Some("One of three")), "One of three");
        assert_eq!(text(1.0, Some(3.0), None), "Copy (33 %)");
        assert_eq!(text(7.0, Some(3.0), Some(" ")), "Copy (100 %)");
        assert_eq!(text(-1.0, Some(3.0), None), "Copy (0 %)");
        for total in [None, Some(0.0), Some(-1.0), Some(f64::NAN)] {
            assert_eq!(text(1.0, total, None), "");
        }
    }
}
