//! The words rows begin with.

use super::{Does, Page, Rule, Then, Verb};
use crate::reply::{Form, Reply, ReplyInfo};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::marker::PhantomData;
use threadline_schema::rpc::{MethodInfo, RpcMethod};
use threadline_schema::runs::{Run, RunNotification, RunsSubscribe};
use threadline_schema::threads::{ThreadCreated, ThreadNotification};
use uuid::Uuid;

/// Begins a row that reads.
pub const fn get(path: &'static str) -> Start {
    Start { verb: Verb::Get, path }
}

/// Begins a row that creates or starts.
pub const fn post(path: &'static str) -> Start {
    Start { verb: Verb::Post, path }
}

/// Begins a row that replaces.
pub const fn put(path: &'static str) -> Start {
    Start { verb: Verb::Put, path }
}

/// Begins a row that changes in part.
pub const fn patch(path: &'static str) -> Start {
    Start { verb: Verb::Patch, path }
}

/// Begins a row that deletes.
pub const fn delete(path: &'static str) -> Start {
    Start { verb: Verb::Delete, path }
}

/// A row of which verb and path are known.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    verb: Verb,
    path: &'static str,
}

impl Start {
    /// Names the method behind the row.
    pub const fn calls<M: RpcMethod>(self) -> Calls<M> {
        Calls { start: self, method: PhantomData }
    }

    /// Names the page behind the row.
    pub const fn serves(self, page: Page) -> Rule {
        self.does(Does::Serve(page))
    }

    /// Makes the row ChatKit's single endpoint.
    pub const fn speaks_chatkit(self) -> Rule {
        self.does(Does::ChatKit)
    }

    const fn does(self, does: Does) -> Rule {
        Rule {
            verb: self.verb,
            path: self.path,
            does,
            status: 200,
            binds: &[],
            message: None,
            presets: &[],
            errors: &[],
            id: None,
            doc: None,
        }
    }
}

/// A row of which the method is known, and not yet what becomes of its result.
#[derive(Debug, Clone, Copy)]
pub struct Calls<M> {
    start: Start,
    method: PhantomData<fn() -> M>,
}

impl<M: RpcMethod> Calls<M> {
    /// Names the shape of the reply, which must fit the method's result.
    pub const fn replies<R: Reply<M::Result>>(self) -> Rule {
        self.start.does(Does::Rpc { method: MethodInfo::of::<M>(), then: Then::Reply(ReplyInfo::of::<R, M::Result>()) })
    }

    /// Names the shape of the reply, which is sent without an envelope.
    pub const fn answers<R: Reply<M::Result>>(self) -> Rule {
        let reply = ReplyInfo { form: Form::Bare, ..ReplyInfo::of::<R, M::Result>() };
        self.start.does(Does::Rpc { method: MethodInfo::of::<M>(), then: Then::Reply(reply) })
    }
}

impl<M: RpcMethod<Result: StartsRun>> Calls<M> {
    /// Replies with the events of the run that the method's result tells of, as ChatKit's own server does.
    pub const fn streams_to_chatkit(self) -> Rule {
        let then =
            Then::StreamChatKit { follow: MethodInfo::of::<RunsSubscribe>(), run_id: <M::Result as StartsRun>::run_id };
        self.start.does(Does::Rpc { method: MethodInfo::of::<M>(), then })
    }
}

/// A result that tells of a run.
pub trait StartsRun {
    /// Finds the run.
    ///
    /// # Errors
    /// When there is none in the result.
    fn run_id(result: &RawValue) -> serde_json::Result<Uuid>;
}

#[derive(Deserialize)]
struct RunView {
    id: Uuid,
}

impl StartsRun for Run {
    fn run_id(result: &RawValue) -> serde_json::Result<Uuid> {
        serde_json::from_str::<RunView>(result.get()).map(|run| run.id)
    }
}

impl StartsRun for ThreadCreated {
    fn run_id(result: &RawValue) -> serde_json::Result<Uuid> {
        #[derive(Deserialize)]
        struct View {
            run: RunView,
        }
        serde_json::from_str::<View>(result.get()).map(|created| created.run.id)
    }
}

impl<M: RpcMethod<Result = Run>> Calls<M> {
    /// Replies with the events of the run that the method answers with.
    pub const fn streams_the_run(self) -> Rule {
        let then = Then::StreamRun { follow: MethodInfo::of::<RunsSubscribe>() };
        self.start.does(Does::Rpc { method: MethodInfo::of::<M>(), then })
    }
}

impl<M: RpcMethod<Result = RunNotification>> Calls<M> {
    /// Replies with the events of the subscription.
    pub const fn streams(self) -> Rule {
        self.start.does(Does::Rpc { method: MethodInfo::of::<M>(), then: Then::Stream })
    }
}

impl<M: RpcMethod<Result = ThreadNotification>> Calls<M> {
    /// Replies with the events of the subscription, run after run.
    pub const fn streams_the_thread(self) -> Rule {
        self.start.does(Does::Rpc { method: MethodInfo::of::<M>(), then: Then::StreamThread })
    }
}
