//! A user that sends, reads, disconnects, reconnects and cancels while processes die.

use crate::model::AnswerPlan;
use crate::reader::{Reader, Stream, Transport};
use crate::service::{cancel, submit};
use crate::support::{Client, Sse};
use crate::trial::some;
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

/// A user, with all that was sent, received and acknowledged.
pub struct SimulatedUser {
    pub name: usize,
    pub user: Client,
    pub sessions: Vec<Uuid>,
    pub sent: Vec<Submission>,
    pub rng: fastrand::Rng,
    pub refused_while_busy: usize,
}

/// A message and its state.
pub struct Submission {
    pub session: Uuid,
    /// Its tag is the idempotency key.
    pub plan: AnswerPlan,
    /// Once the service has acknowledged it.
    pub reader: Option<Reader>,
    /// The response to a cancel.
    pub cancelled: Option<Value>,
    pub tries: usize,
}

impl Submission {
    pub fn is_open(&self) -> bool {
        self.reader.as_ref().is_none_or(|reader| reader.end().is_none())
    }
}

impl SimulatedUser {
    pub fn new(name: usize, user: Client, rng: fastrand::Rng) -> Self {
        Self { name, user, sessions: Vec::new(), sent: Vec::new(), rng, refused_while_busy: 0 }
    }

    /// Runs until `stop`. `clients` is the user as a client of each process.
    pub async fn run(mut self, clients: Vec<Client>, mut stop: watch::Receiver<bool>) -> Self {
        while !*stop.borrow() {
            let user = clients[self.rng.usize(..clients.len())].clone();
            self.act(&user, &mut stop).await;
        }
        self
    }

    async fn act(&mut self, user: &Client, stop: &mut watch::Receiver<bool>) {
        let open: Vec<usize> = (0..self.sent.len()).filter(|at| self.sent[*at].is_open()).collect();
        let Some(&at) = self.rng.choice(&open) else { return self.send_new(user).await };
        let busy = self.sessions.iter().all(|session| open.iter().any(|at| self.sent[*at].session == *session));
        match (&self.sent[at].reader, self.rng.u8(..10)) {
            (None, _) => self.send(at, user).await,
            (Some(_), 0..2) if !busy || self.sessions.len() < 3 => self.send_new(user).await,
            (Some(reader), 2) => {
                let run = reader.run;
                // For the run of a dead process, the response comes when the lease has expired. That is too long to
                // wait here.
                let reply = tokio::select! {
                    reply = cancel(user, run) => reply,
                    _ = stop.wait_for(|stop| *stop) => None,
                };
                if let Some(reply) = reply.filter(|reply| reply.status == 200) {
                    self.sent[at].cancelled = Some(reply.data().clone());
                }
            }
            (Some(_), _) => self.read_on(at, user, stop).await,
        }
    }

    /// Sends a new message, in a session without an active run.
    async fn send_new(&mut self, user: &Client) {
        let free = |session: &&Uuid| !self.sent.iter().any(|sent| sent.session == **session && sent.is_open());
        let free: Vec<Uuid> = self.sessions.iter().filter(free).copied().collect();
        let Some(&session) = self.rng.choice(&free) else {
            let request = user.request(Method::POST, "/api/v1/chatkit/sessions").json(&serde_json::json!({}));
            if let Ok(reply) = crate::support::client::try_read(request).await
                && reply.status == 200
            {
                self.sessions.push(reply.data()["id"].as_str().unwrap().parse().unwrap());
            }
            return;
        };
        let tag = format!("k{}-{}", self.name, self.sent.len());
        let mut plan = AnswerPlan::talk(self.rng.usize(5..60), self.rng.u64(2..20), tag);
        plan.task = self.rng.u8(..3) == 0;
        self.sent.push(Submission { session, plan, reader: None, cancelled: None, tries: 0 });
        self.send(self.sent.len() - 1, user).await;
    }

    /// Sends a message, for the first time or again.
    async fn send(&mut self, at: usize, user: &Client) {
        let streamed = self.rng.bool();
        let sent = &mut self.sent[at];
        sent.tries += 1;
        if streamed && sent.tries == 1 {
            let request = user.request(Method::POST, &Client::runs_path(sent.session));
            let request =
                request.json(&Client::message(&sent.plan.message())).header("idempotency-key", &sent.plan.tag);
            if let Some(Ok(stream)) = Sse::try_open(request).await {
                let mut reader = Reader::new(sent.session, stream.run_id());
                let most = self.rng.usize(..80);
                let mut stream = Stream::Sse(Box::new(stream));
                for _ in 0..most {
                    let Some(seen) = stream.next(reader.run).await else { break };
                    reader.take(seen);
                    if reader.end().is_some() {
                        break;
                    }
                }
                sent.reader = Some(reader);
            }
            return;
        }
        match submit(user, sent.session, &sent.plan, &sent.plan.tag).await {
            Some(Ok(run)) => sent.reader = Some(Reader::new(sent.session, run)),
            // The run before belongs to a dead process that has not been detected yet.
            Some(Err(error)) if error["data"]["code"] == "THREAD_BUSY" => {
                self.refused_while_busy += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Some(Err(error)) if error["data"]["code"] == "SERVICE_UNAVAILABLE" => {}
            Some(Err(error)) => panic!("{}: refused: {error}", sent.plan.tag),
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }

    /// Reads new events for a while.
    async fn read_on(&mut self, at: usize, user: &Client, stop: &mut watch::Receiver<bool>) {
        let patience = some(&mut self.rng, Duration::from_millis(600));
        let transport = if self.rng.bool() { Transport::RunSse } else { Transport::SessionSse };
        let reader = self.sent[at].reader.as_mut().expect("it is acknowledged");
        let Some(mut stream) = transport.open(user, reader.session, reader.run, reader.at()).await else {
            return tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let leave = tokio::time::sleep(patience);
        tokio::pin!(leave);
        while reader.end().is_none() {
            tokio::select! {
                seen = stream.next(reader.run) => match seen {
                    Some(seen) => reader.take(seen),
                    None => return,
                },
                () = &mut leave => return,
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }
}
