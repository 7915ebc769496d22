//! One call over a connection to a server, and what the server says of it meanwhile.

use super::connect::Connection;
use crate::tools::Progress;
use futures::{FutureExt, StreamExt};
use rmcp::handler::client::progress::ProgressDispatcher;
use rmcp::model::{CallToolRequest, CallToolRequestParams, ClientRequest, ProgressNotificationParam, ServerResult};
use rmcp::service::{PeerRequestOptions, RequestHandle};
use rmcp::{Peer, RoleClient, ServiceError};
use tokio::task::unconstrained;

/// What calls need of a connection.
#[derive(Clone)]
pub(super) struct Line {
    peer: Peer<RoleClient>,
    /// By the tokens of this connection: the next one begins to count anew.
    progress: ProgressDispatcher,
}

/// A request that was sent. Dropped, it tells the server that nobody waits any more.
struct Sent(Option<RequestHandle<RoleClient>>);

impl Line {
    pub(super) fn of(connection: &Connection) -> Self {
        Self { peer: connection.peer().clone(), progress: connection.service().progress.clone() }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.peer.is_transport_closed()
    }

    pub(super) fn peer(&self) -> &Peer<RoleClient> {
        &self.peer
    }

    /// Makes a call of the tool with this title. What the server says of it before it answers goes to `progress`.
    pub(super) async fn call(
        &self,
        params: CallToolRequestParams,
        title: &str,
        progress: &Progress,
    ) -> Result<ServerResult, ServiceError> {
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let handle = self.peer.send_cancellable_request(request, PeerRequestOptions::no_options()).await?;
        // The token is known only now; what a server says within these microseconds is not heard.
        let mut told = self.progress.subscribe(handle.progress_token.clone()).await;
        let mut sent = Sent(Some(handle));
        let mut furthest = f64::NEG_INFINITY;
        loop {
            tokio::select! {
                biased;
                answer = sent.answer() => return answer,
                Some(news) = told.next() => {
                    // They can overtake each other on their way here, and count upwards.
                    if news.progress >= furthest {
                        furthest = news.progress;
                        progress.tell(&words(title, news));
                    }
                }
            }
        }
    }
}

impl Sent {
    /// Waits for the answer. May be dropped and called again, until it has come.
    async fn answer(&mut self) -> Result<ServerResult, ServiceError> {
        let Some(handle) = &mut self.0 else { return Err(ServiceError::TransportClosed) };
        let answer = (&mut handle.rx).await;
        self.0 = None;
        answer.unwrap_or(Err(ServiceError::TransportClosed))
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        if let Some(handle) = self.0.take() {
            // One poll puts it into the queue of the connection, and that is all that can be done here.
            let _ = unconstrained(handle.cancel(Some("nobody waits for it any more".to_owned()))).now_or_never();
        }
    }
}

/// The words of the server, or how much is done; empty where it says neither.
fn words(title: &str, ProgressNotificationParam { progress, total, message, .. }: ProgressNotificationParam) -> String {
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
    fn progress_is_said_in_the_servers_words_or_in_numbers() {
        let said = |progress, total, message: Option<&str>| {
            let mut told = ProgressNotificationParam::new(ProgressToken(NumberOrString::Number(1)), progress);
            (told.total, told.message) = (total, message.map(ToOwned::to_owned));
            words("Copy", told)
        };
        assert_eq!(said(1.0, Some(3.0), Some("One of three")), "One of three");
        assert_eq!(said(1.0, Some(3.0), None), "Copy (33 %)");
        assert_eq!(said(7.0, Some(3.0), Some(" ")), "Copy (100 %)");
        assert_eq!(said(-1.0, Some(3.0), None), "Copy (0 %)");
        for total in [None, Some(0.0), Some(-1.0), Some(f64::NAN)] {
            assert_eq!(said(1.0, total, None), "");
        }
    }
}
