//! What a row of the table can say, and the words rows are written with.
//!
//! A row names a verb and a path, the RPC method behind them, and how the result becomes the reply. Which param comes
//! from where follows from one leftover rule (`fields.rs`); a row only states what departs from it.

mod words;

pub use words::{Calls, Start, StartsRun, delete, get, patch, post, put};

use crate::reply::ReplyInfo;
use http::Method;
use serde_json::value::RawValue;
use threadline_schema::ErrorCode;
use threadline_schema::rpc::{Access, MethodInfo};
use uuid::Uuid;

/// One operation of the REST API.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The verb.
    pub verb: Verb,
    /// The path, with `{variables}` that each stand for one segment.
    pub path: &'static str,
    /// What answers.
    pub does: Does,
    /// HTTP status of success.
    pub status: u16,
    /// Path variables that bind a param of another name: `(variable, param)`. Two variables of one param must be equal.
    pub binds: &'static [(&'static str, &'static str)],
    /// The param that the body gives in REST's form of a message, instead of being the params itself.
    pub message: Option<&'static str>,
    /// Whether there may be no body, which then stands for an object without members.
    pub optional_body: bool,
    /// Params that the row decides.
    pub presets: &'static [(&'static str, Preset)],
    /// Errors of the method itself, beside those every row of its kind can have.
    pub errors: &'static [ErrorCode],
    /// Name in OpenAPI where the method's own would not be unique.
    pub id: Option<&'static str>,
    /// What the row is for, in the form of a doc comment, where the method's own speaks of more or other than REST.
    pub doc: Option<&'static str>,
}

impl Rule {
    /// The method the row calls first; `None` for pages of the gateway's own.
    pub fn method(&self) -> Option<&MethodInfo> {
        match &self.does {
            Does::Serve(_) | Does::ChatKit => None,
            Does::Rpc { method, .. } => Some(method),
        }
    }

    /// The path's variables, from left to right.
    pub fn variables(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
    }

    /// The param a path variable binds.
    pub fn param_of(&self, variable: &'static str) -> &'static str {
        self.binds.iter().find(|(name, _)| *name == variable).map_or(variable, |(_, param)| param)
    }

    /// What the row decides about a param.
    pub fn preset(&self, param: &str) -> Option<Preset> {
        self.presets.iter().find(|(name, _)| *name == param).map(|(_, preset)| *preset)
    }

    /// Whether the path names a session: then a missing thread is told as a missing session, since the caller knows no
    /// other word for it.
    pub fn speaks_of_sessions(&self) -> bool {
        self.variables().any(|variable| variable == "session_id")
    }

    /// Whether the row is a subscription itself, which goes on where its reader left.
    pub fn follows(&self) -> bool {
        matches!(self.does, Does::Rpc { then: Then::Stream | Then::StreamThread, .. })
    }

    /// What the reply streams; `None` when it is no stream.
    pub fn streams(&self) -> Option<Scope> {
        match self.does {
            Does::Rpc { then: Then::StreamRun { .. } | Then::Stream, .. } => Some(Scope::Run),
            Does::Rpc { then: Then::StreamThread, .. } => Some(Scope::Thread),
            Does::Rpc {
                then: Then::Reply(_) | Then::TakeFile(_) | Then::GiveFile | Then::StreamChatKit { .. },
                ..
            }
            | Does::Serve(_)
            | Does::ChatKit => None,
        }
    }

    /// Whether the body is a file, and no JSON.
    pub fn takes_a_file(&self) -> bool {
        matches!(self.does, Does::Rpc { then: Then::TakeFile(_), .. })
    }

    /// Whether the row is ChatKit's single endpoint.
    pub fn speaks_chatkit(&self) -> bool {
        matches!(self.does, Does::ChatKit)
    }

    /// Whether the row is of the chat page, which can be turned off.
    pub fn is_chat_page(&self) -> bool {
        matches!(self.does, Does::Serve(Page::Chat | Page::ChatFile))
    }

    /// Who may call; `None` for pages of the gateway's own.
    pub fn access(&self) -> Option<Access> {
        if self.speaks_chatkit() { Some(Access::User) } else { self.method().map(|method| method.access) }
    }

    /// Whether a caller needs a token.
    pub fn needs_token(&self) -> bool {
        self.access() == Some(Access::User)
    }

    /// One line that says what the row is for.
    pub fn summary(&self) -> &'static str {
        let own = self.doc.map(|doc| doc.split_once('\n').map_or(doc, |(line, _)| line).trim_end_matches('.'));
        own.or_else(|| self.method().map(MethodInfo::summary)).unwrap_or_default()
    }

    /// All that is said about the row.
    pub fn description(&self) -> String {
        let own = self.doc.map(str::to_owned);
        own.or_else(|| self.method().map(MethodInfo::description)).unwrap_or_default()
    }

    /// Group of the row in documents.
    pub fn tag(&self) -> &'static str {
        match self.method().and_then(|method| method.name.split_once('.')) {
            Some(("threads" | "items", _)) => "sessions",
            Some(("auth", _)) => "accounts",
            Some(("runs", _)) => "runs",
            Some(("tasks", _)) => "tasks",
            Some(("attachments" | "input", _)) => "attachments",
            None if self.speaks_chatkit() => "chatkit",
            _ => "service",
        }
    }

    /// Name of the operation in OpenAPI: the method's in camel case, unless the row has one of its own.
    pub fn operation_id(&self) -> String {
        let Some(method) = self.method().filter(|_| self.id.is_none()) else {
            return self.id.unwrap_or_default().to_owned();
        };
        let mut words = method.name.split(['.', '_']);
        let mut id = words.next().unwrap_or_default().to_owned();
        for word in words {
            let mut letters = word.chars();
            id.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
            id.push_str(letters.as_str());
        }
        id
    }

    /// Sets the status of success; 200 otherwise.
    #[must_use]
    pub const fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Ties path variables to params of another name.
    #[must_use]
    pub const fn binds(mut self, binds: &'static [(&'static str, &'static str)]) -> Self {
        self.binds = binds;
        self
    }

    /// Takes the body as a message, for this param.
    #[must_use]
    pub const fn message(mut self, param: &'static str) -> Self {
        self.message = Some(param);
        self
    }

    /// Takes a request without a body for one with an empty object.
    #[must_use]
    pub const fn optional_body(mut self) -> Self {
        self.optional_body = true;
        self
    }

    /// Decides params in the client's place.
    #[must_use]
    pub const fn presets(mut self, presets: &'static [(&'static str, Preset)]) -> Self {
        self.presets = presets;
        self
    }

    /// Names errors of the method itself.
    #[must_use]
    pub const fn fails(mut self, errors: &'static [ErrorCode]) -> Self {
        self.errors = errors;
        self
    }

    /// Names the operation, and says what it is for: one sentence, then after an empty line whatever else.
    #[must_use]
    pub const fn named(mut self, id: &'static str, doc: &'static str) -> Self {
        self.id = Some(id);
        self.doc = Some(doc);
        self
    }
}

/// The verbs of the API. HEAD is answered like GET and OPTIONS by the gateway, so neither stands in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// Reads.
    Get,
    /// Creates or starts.
    Post,
    /// Replaces.
    Put,
    /// Changes in part.
    Patch,
    /// Deletes.
    Delete,
}

impl Verb {
    /// The verb as HTTP writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The verb that answers a request with this method.
    pub fn answering(method: &Method) -> Option<Self> {
        match method.as_str() {
            "GET" | "HEAD" => Some(Self::Get),
            "POST" => Some(Self::Post),
            "PUT" => Some(Self::Put),
            "PATCH" => Some(Self::Patch),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }

    /// Whether requests with this verb have a body. RFC 9110 gives a body on GET and DELETE no meaning.
    pub const fn carries_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }
}

/// What answers a row.
#[derive(Debug, Clone, Copy)]
pub enum Does {
    /// A page of the gateway's own, without a call.
    Serve(Page),
    /// ChatKit's single endpoint: the `type` of the body names one of [`REQUESTS`](crate::chatkit::REQUESTS).
    ChatKit,
    /// A call of the core.
    Rpc {
        /// The method.
        method: MethodInfo,
        /// What becomes of its result.
        then: Then,
    },
}

/// What becomes of a call's result.
#[derive(Debug, Clone, Copy)]
pub enum Then {
    /// It is put into a shape and sent.
    Reply(ReplyInfo),
    /// It is a run, whose events are streamed with the status decided late.
    StreamRun {
        /// The subscription to the run.
        follow: MethodInfo,
    },
    /// It is how far an upload is: the body is a file, and goes to the method in pieces.
    TakeFile(ReplyInfo),
    /// It is a piece of a file, which is sent as it is.
    GiveFile,
    /// It tells of a run, whose events are streamed as ChatKit's own server does.
    StreamChatKit {
        /// The subscription to the run.
        follow: MethodInfo,
        /// Finds the run in the result.
        run_id: fn(&RawValue) -> serde_json::Result<Uuid>,
    },
    /// It is a subscription to the run that the path names.
    Stream,
    /// It is a subscription to the thread that the path names.
    StreamThread,
}

/// Whose events a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One run's: the stream ends with it.
    Run,
    /// A thread's: the stream goes on from run to run.
    Thread,
}

/// Pages of the gateway's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// Where to find what.
    Root,
    /// That the process is alive.
    Health,
    /// Prometheus.
    Metrics,
    /// The OpenAPI document.
    OpenApi,
    /// This API for people.
    Docs,
    /// The chat page.
    Chat,
    /// A file of the chat page, which the path names.
    ChatFile,
}

/// What a row decides about a param. Values are JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Always this value; the client cannot set it.
    Fixed(&'static str),
    /// This value unless the client gives another.
    Default(&'static str),
    /// The client has to give it, although the method does not need it.
    Required,
    /// Never given; the client cannot set it.
    Withheld,
}
