//! Configuration of tools: plain data. The agents file is checked where it is read.

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Which calls of a tool wait for the approval of the user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ApprovalMode {
    /// None.
    #[default]
    Never,
    /// Those of a conversation until its user has approved one.
    First,
    /// Each one.
    Always,
}

/// A tool that the client runs.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientTool {
    /// Name.
    pub name: Arc<str>,
    /// Tells the model what the tool does and when to use it.
    pub description: Arc<str>,
    /// JSON Schema of the arguments. Its type is `object`.
    pub parameters: Value,
}

/// A server that speaks the Model Context Protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpConfig {
    /// How to reach the server.
    pub transport: McpTransport,
    /// Whether each call tells the server for which user it is made.
    pub sends_user_context: bool,
    /// Limits of each call.
    pub limits: CallLimits,
    /// Whether results may contain widgets.
    pub allows_widgets: bool,
    /// Tools that users may call from widgets, by the server's own names.
    pub actions: Vec<Arc<str>>,
    /// Which calls wait for approval, unless `approval_of` has the tool.
    pub approval: ApprovalMode,
    /// Which calls of a tool wait for approval, by the server's own names.
    pub approval_of: BTreeMap<Arc<str>, ApprovalMode>,
    /// Tools whose calls may be made twice, by the server's own names.
    pub idempotent: Vec<Arc<str>>,
    /// The fingerprint that its tools must have; `None` for any.
    pub pin: Option<Arc<str>>,
    /// Those of its tools that are used, by the server's own names; `None` for all. In the file: `tools`.
    pub only: Option<Vec<Arc<str>>>,
    /// Whether the server is believed about which of its tools only read, and which may be called twice.
    pub trusts_hints: bool,
}

/// How to reach an MCP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum McpTransport {
    /// A child process; the protocol uses its standard input and output.
    Command {
        /// The program.
        program: String,
        /// Its arguments.
        arguments: Vec<String>,
        /// Its environment, besides the few variables that every program needs.
        environment: Vec<SecretPair>,
    },
    /// Streamable HTTP.
    Http {
        /// The URL.
        url: String,
        /// Headers of every request.
        headers: Vec<SecretPair>,
    },
}

/// A tool of an internal service.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// The protocol.
    pub kind: EndpointKind,
    /// The URL. With HTTP, the argument `name` replaces a segment `{name}` of the path.
    pub url: String,
    /// Tells the model what the tool does and when to use it.
    pub description: String,
    /// JSON Schema of the arguments. Its type is `object`.
    pub parameters: Value,
    /// Headers of every request.
    pub headers: Vec<SecretPair>,
    /// How each call tells the service for which user it is made.
    pub user_context: Option<UserContext>,
    /// Limits of each call.
    pub limits: CallLimits,
    /// Whether a call can change data, so that a lost response leaves its effect in doubt.
    pub has_side_effects: bool,
    /// Whether making a call twice does no harm.
    pub is_idempotent: bool,
    /// Whether results may contain widgets.
    pub allows_widgets: bool,
    /// Whether users may call the tool from widgets.
    pub is_action: bool,
    /// Which calls wait for approval.
    pub approval: ApprovalMode,
}

/// The protocol of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointKind {
    /// An HTTP request. The arguments are the query of GET and DELETE, and a JSON body otherwise.
    Http {
        /// GET, POST, PUT, PATCH or DELETE.
        method: http::Method,
    },
    /// A JSON-RPC 2.0 call over HTTP. The arguments are the params, by name.
    JsonRpc {
        /// The method.
        method: String,
    },
}

/// A short-lived JWT that tells a service for which user a call is made.
#[derive(Debug, Clone)]
pub struct UserContext {
    /// Name of the header that carries the token.
    pub header: String,
    /// Key of the HS256 signature.
    pub key: SecretString,
    /// The claim `aud`; `None` for a token without it.
    pub audience: Option<String>,
}

/// Limits of each call of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimits {
    /// Time limit for a free slot, and again for the response.
    pub timeout: Duration,
    /// Maximum number of calls in flight; further calls wait.
    pub concurrency: usize,
    /// Maximum size of a result for the model, in bytes.
    pub result_bytes: usize,
}

/// A header or an environment variable. Its value can be a secret.
#[derive(Debug, Clone)]
pub struct SecretPair {
    /// Name.
    pub name: String,
    /// Value.
    pub value: SecretString,
}

impl PartialEq for SecretPair {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.value.expose_secret() == other.value.expose_secret()
    }
}

impl Eq for SecretPair {}
