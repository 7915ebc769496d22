//! Builds rules. A row reads from left to right: verb and path, method or page, response, then exceptions.
//!
//! The type parameters let the compiler check that the response fits the result of the method.

use super::{Page, Preset, ResponseMode, Rule, StreamScope, Target, Verb};
use crate::response_data::{Envelope, ResponseData, ResponseFormat, Unchanged};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::marker::PhantomData;
use threadline_schema::ErrorCode;
use threadline_schema::attachments::{AttachmentsReadParams, AttachmentsWriteParams, Piece, Upload};
use threadline_schema::auth::{ExportPiece, ExportPosition};
use threadline_schema::ids::RunId;
use threadline_schema::rpc::{MethodInfo, RpcMethod};
use threadline_schema::runs::{Run, RunNotification, RunsSubscribe};
use threadline_schema::threads::{ThreadCreated, ThreadNotification};

/// Starts a rule that reads.
pub const fn get(path: &'static str) -> RuleBuilder {
    RuleBuilder { verb: Verb::Get, path }
}

/// Starts a rule that creates or starts something.
pub const fn post(path: &'static str) -> RuleBuilder {
    RuleBuilder { verb: Verb::Post, path }
}

/// Starts a rule that replaces.
pub const fn put(path: &'static str) -> RuleBuilder {
    RuleBuilder { verb: Verb::Put, path }
}

/// Starts a rule that updates in part.
pub const fn patch(path: &'static str) -> RuleBuilder {
    RuleBuilder { verb: Verb::Patch, path }
}

/// Starts a rule that deletes.
pub const fn delete(path: &'static str) -> RuleBuilder {
    RuleBuilder { verb: Verb::Delete, path }
}

/// A rule with verb and path.
#[derive(Debug, Clone, Copy)]
pub struct RuleBuilder {
    verb: Verb,
    path: &'static str,
}

impl RuleBuilder {
    /// Sets the method that the rule calls.
    pub const fn calls<M: RpcMethod>(self) -> MethodRuleBuilder<M> {
        MethodRuleBuilder { rule: self, method: PhantomData }
    }

    /// Serves a page.
    pub const fn serves(self, page: Page) -> Rule {
        self.build(Target::Page(page))
    }

    /// Serves ChatKit's single endpoint.
    pub const fn serves_chatkit(self) -> Rule {
        self.build(Target::ChatKit)
    }

    const fn build(self, target: Target) -> Rule {
        Rule {
            verb: self.verb,
            path: self.path,
            target,
            status: 200,
            renames: &[],
            message: None,
            optional_body: false,
            presets: &[],
            errors: &[],
            id: None,
            doc: None,
        }
    }
}

/// A rule with verb, path and method.
#[derive(Debug, Clone, Copy)]
pub struct MethodRuleBuilder<M> {
    rule: RuleBuilder,
    method: PhantomData<fn() -> M>,
}

impl<M: RpcMethod> MethodRuleBuilder<M> {
    const fn responds(self, mode: ResponseMode) -> Rule {
        self.rule.build(Target::Method { method: MethodInfo::of::<M>(), mode })
    }

    /// Responds with JSON of this form, as `data` and `meta`.
    pub const fn returns<D: ResponseData<M::Result>>(self) -> Rule {
        self.responds(ResponseMode::Json(ResponseFormat::of::<D, M::Result>()))
    }

    /// Responds with JSON of this form, without an envelope.
    pub const fn returns_bare<D: ResponseData<M::Result>>(self) -> Rule {
        let format = ResponseFormat { envelope: Envelope::Bare, ..ResponseFormat::of::<D, M::Result>() };
        self.responds(ResponseMode::Json(format))
    }
}

impl<M: RpcMethod<Result = Run>> MethodRuleBuilder<M> {
    /// Streams the events of the run that the method starts.
    pub const fn streams_started_run(self) -> Rule {
        self.responds(ResponseMode::StartedRun { subscribe: MethodInfo::of::<RunsSubscribe>() })
    }
}

impl<M: RpcMethod<Result: StartsRun>> MethodRuleBuilder<M> {
    /// Streams the events of the run that the method starts, as ChatKit's own server does.
    pub const fn streams_started_run_to_chatkit(self) -> Rule {
        self.responds(ResponseMode::ChatKitRun {
            subscribe: MethodInfo::of::<RunsSubscribe>(),
            run_id: <M::Result as StartsRun>::run_id,
        })
    }
}

impl<M: RpcMethod<Result = RunNotification>> MethodRuleBuilder<M> {
    /// Streams the events of the run that the method subscribes to.
    pub const fn streams_run(self) -> Rule {
        self.responds(ResponseMode::Subscription(StreamScope::Run))
    }
}

impl<M: RpcMethod<Result = ThreadNotification>> MethodRuleBuilder<M> {
    /// Streams the events of the thread that the method subscribes to.
    pub const fn streams_thread(self) -> Rule {
        self.responds(ResponseMode::Subscription(StreamScope::Thread))
    }
}

impl<M: RpcMethod<Params = AttachmentsWriteParams, Result = Upload>> MethodRuleBuilder<M> {
    /// Takes the body as a file, and responds with the state of the upload.
    pub const fn uploads_file(self) -> Rule {
        self.responds(ResponseMode::Upload(ResponseFormat::of::<Unchanged, M::Result>()))
    }
}

impl<M: RpcMethod<Params = AttachmentsReadParams, Result = Piece>> MethodRuleBuilder<M> {
    /// Responds with a file.
    pub const fn downloads_file(self) -> Rule {
        self.responds(ResponseMode::Download)
    }
}

impl<M: RpcMethod<Params = ExportPosition, Result = ExportPiece>> MethodRuleBuilder<M> {
    /// Responds with JSON Lines.
    pub const fn exports_lines(self) -> Rule {
        self.responds(ResponseMode::Export)
    }
}

/// A result that names the run that the method has started.
pub trait StartsRun {
    /// Reads the id of the run.
    ///
    /// # Errors
    /// When the result has none.
    fn run_id(result: &RawValue) -> serde_json::Result<RunId>;
}

#[derive(Deserialize)]
struct RunView {
    id: RunId,
}

impl StartsRun for Run {
    fn run_id(result: &RawValue) -> serde_json::Result<RunId> {
        serde_json::from_str::<RunView>(result.get()).map(|run| run.id)
    }
}

impl StartsRun for ThreadCreated {
    fn run_id(result: &RawValue) -> serde_json::Result<RunId> {
        #[derive(Deserialize)]
        struct ThreadCreatedView {
            run: RunView,
        }
        serde_json::from_str::<ThreadCreatedView>(result.get()).map(|created| created.run.id)
    }
}

impl Rule {
    /// Sets the HTTP status of success. The default is 200.
    #[must_use]
    pub const fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Maps path variables to parameters of another name.
    #[must_use]
    pub const fn renames(mut self, renames: &'static [(&'static str, &'static str)]) -> Self {
        self.renames = renames;
        self
    }

    /// Takes the body as a message, for this parameter.
    #[must_use]
    pub const fn message(mut self, param: &'static str) -> Self {
        self.message = Some(param);
        self
    }

    /// Accepts an empty body as an object without members.
    #[must_use]
    pub const fn optional_body(mut self) -> Self {
        self.optional_body = true;
        self
    }

    /// Sets or restricts parameters.
    #[must_use]
    pub const fn presets(mut self, presets: &'static [(&'static str, Preset)]) -> Self {
        self.presets = presets;
        self
    }

    /// Lists the errors of this method.
    #[must_use]
    pub const fn fails(mut self, errors: &'static [ErrorCode]) -> Self {
        self.errors = errors;
        self
    }

    /// Sets the name and the description for documents: one sentence, then after an empty line the details.
    #[must_use]
    pub const fn documented(mut self, id: &'static str, doc: &'static str) -> Self {
        self.id = Some(id);
        self.doc = Some(doc);
        self
    }
}
