//! What a row of the tables can express.
//!
//! A row names a verb and a path, the RPC method behind them, and how the result becomes the response. Where each
//! parameter comes from follows from one general rule (`operation/param.rs`); a row only states exceptions from it.

mod builder;
mod target;
mod verb;

pub use builder::{MethodRuleBuilder, RuleBuilder, StartsRun, delete, get, patch, post, put};
pub use target::{Page, Preset, ResponseMode, StreamScope, Target};
pub use verb::Verb;

use threadline_schema::ErrorCode;
use threadline_schema::rpc::{Access, MethodInfo};

/// One operation of the REST API.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The verb.
    pub verb: Verb,
    /// The path. A `{variable}` stands for exactly one segment.
    pub path: &'static str,
    /// What handles the request.
    pub target: Target,
    /// HTTP status of success.
    pub status: u16,
    /// Path variables whose parameter has another name: `(variable, parameter)`. If two variables have the same
    /// parameter, their values must be equal.
    pub renames: &'static [(&'static str, &'static str)],
    /// The parameter that the body gives in REST's form of a message. Without it, the body is the params object.
    pub message: Option<&'static str>,
    /// Whether an empty body counts as an object without members.
    pub optional_body: bool,
    /// Parameters whose value the row sets or restricts.
    pub presets: &'static [(&'static str, Preset)],
    /// Errors of this method, in addition to those that every row of its kind can have.
    pub errors: &'static [ErrorCode],
    /// Name in OpenAPI, where the name of the method would not be unique.
    pub id: Option<&'static str>,
    /// Description, where that of the method does not fit REST. The first line is the summary.
    pub doc: Option<&'static str>,
}

impl Rule {
    /// Returns the first method that the row calls; `None` for pages and for ChatKit's endpoint.
    pub fn method(&self) -> Option<&MethodInfo> {
        match &self.target {
            Target::Page(_) | Target::ChatKit => None,
            Target::Method { method, .. } => Some(method),
        }
    }

    /// Returns the variables of the path, from left to right.
    pub fn variables(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
    }

    /// Returns the parameter that a path variable gives.
    pub fn param_of(&self, variable: &'static str) -> &'static str {
        self.renames.iter().find(|(name, _)| *name == variable).map_or(variable, |(_, param)| param)
    }

    /// Returns what the row says about a parameter.
    pub fn preset(&self, param: &str) -> Option<Preset> {
        self.presets.iter().find(|(name, _)| *name == param).map(|(_, preset)| *preset)
    }

    /// Returns whether the path names a session. Then `THREAD_NOT_FOUND` becomes `SESSION_NOT_FOUND`: the caller does
    /// not know the word thread.
    pub fn names_session(&self) -> bool {
        self.variables().any(|variable| variable == "session_id")
    }

    /// Returns whether the method is a subscription, which a client resumes with a cursor.
    pub fn is_subscription(&self) -> bool {
        matches!(self.target, Target::Method { mode: ResponseMode::Subscription(_), .. })
    }

    /// Returns whose events the response streams; `None` when it is not a stream, or ChatKit's.
    pub fn stream_scope(&self) -> Option<StreamScope> {
        let Target::Method { mode, .. } = &self.target else { return None };
        match mode {
            ResponseMode::StartedRun { .. } => Some(StreamScope::Run),
            ResponseMode::Subscription(scope) => Some(*scope),
            ResponseMode::Json(_)
            | ResponseMode::ChatKitRun { .. }
            | ResponseMode::Upload(_)
            | ResponseMode::Download
            | ResponseMode::Export => None,
        }
    }

    /// Returns whether the body is a file instead of JSON.
    pub fn is_upload(&self) -> bool {
        matches!(self.target, Target::Method { mode: ResponseMode::Upload(_), .. })
    }

    /// Returns whether the row is ChatKit's single endpoint.
    pub fn is_chatkit_endpoint(&self) -> bool {
        matches!(self.target, Target::ChatKit)
    }

    /// Returns whether the row belongs to the chat page, which a setting can turn off.
    pub fn is_chat_page(&self) -> bool {
        matches!(self.target, Target::Page(Page::Chat | Page::ChatFile))
    }

    /// Returns whether the row belongs to the console.
    pub fn is_console(&self) -> bool {
        self.is_below("/admin") || self.is_below("/api/v1/admin")
    }

    /// Returns whether the row is for operators: the state and the numbers of the service, and its administration.
    pub fn is_for_operators(&self) -> bool {
        self.path == "/metrics" || self.path.starts_with("/health/") || self.is_console()
    }

    fn is_below(&self, prefix: &str) -> bool {
        self.path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Returns whether the listener of operators needs the row besides those for operators.
    pub fn serves_operators(&self) -> bool {
        matches!(self.path, "/health" | "/api/v1/auth/login" | "/api/v1/auth/me")
    }

    /// Returns who may call; `None` for pages.
    pub fn access(&self) -> Option<Access> {
        if self.is_chatkit_endpoint() { Some(Access::User) } else { self.method().map(|method| method.access) }
    }

    /// Returns whether the caller needs a token.
    pub fn requires_token(&self) -> bool {
        matches!(self.access(), Some(Access::User | Access::Admin))
    }

    /// Returns the description in one line.
    pub fn summary(&self) -> &'static str {
        let own = self.doc.map(|doc| doc.split_once('\n').map_or(doc, |(line, _)| line).trim_end_matches('.'));
        own.or_else(|| self.method().map(MethodInfo::summary)).unwrap_or_default()
    }

    /// Returns the whole description.
    pub fn description(&self) -> String {
        let own = self.doc.map(str::to_owned);
        own.or_else(|| self.method().map(MethodInfo::description)).unwrap_or_default()
    }

    /// Returns the group of the row in documents.
    pub fn tag(&self) -> &'static str {
        match self.method().and_then(|method| method.name.split_once('.')) {
            Some(("threads" | "items", _)) => "sessions",
            Some(("auth", _)) => "accounts",
            Some(("runs", _)) => "runs",
            Some(("tasks", _)) => "tasks",
            Some(("admin", _)) => "console",
            Some(("attachments" | "input", _)) => "attachments",
            None if self.is_chatkit_endpoint() => "chatkit",
            _ => "service",
        }
    }

    /// Returns the name in OpenAPI: the row's own, otherwise that of the method in camel case.
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
}
