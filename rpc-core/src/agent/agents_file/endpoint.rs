//! `[tools.NAME]`

use super::raw::{RawEndpoint, RawUserContext, SpannedText};
use super::{AgentsFileReader, Result};
use crate::config::{EndpointConfig, EndpointKind, UserContext};
use http::Method;
use secrecy::ExposeSecret;
use serde_json::Value;
use toml::Spanned;

/// The header of the user context, unless the file names another one.
const USER_CONTEXT_HEADER: &str = "x-threadline-context";
/// RFC 7518, section 3.2: a key for HMAC with SHA-256 has at least as many bits as the hash.
const MIN_KEY_BYTES: usize = 32;

impl AgentsFileReader<'_> {
    pub(super) fn endpoint(&self, name: &SpannedText, table: RawEndpoint) -> Result<EndpointConfig> {
        let kind = match (table.kind.as_ref().as_str(), table.method) {
            ("http", method) => EndpointKind::Http { method: self.http_method(method)? },
            ("jsonrpc", Some(method)) => EndpointKind::JsonRpc { method: self.text(&method)?.to_string() },
            ("jsonrpc", None) => {
                return Err(self.error_at(name.span(), "`method` is missing: the JSON-RPC method to call"));
            }
            _ => return Err(self.error_at(table.kind.span(), "this is not \"http\" or \"jsonrpc\"")),
        };
        let parameters = self.parameters_schema(table.parameters)?;
        let url = self.url(&table.url)?;
        if matches!(kind, EndpointKind::Http { .. }) {
            self.check_path(&table.url, &parameters)?;
            self.check_query(&table.url, &url, &parameters)?;
        }
        let user_context = table.user_context.map(|context| self.user_context(context)).transpose()?;
        Ok(EndpointConfig {
            kind,
            url,
            description: self.text(&table.description)?.to_string(),
            parameters,
            headers: self.headers(table.headers)?,
            user_context,
            limits: self.limits(table.timeout_seconds, table.max_concurrency, table.max_result_bytes)?,
            has_side_effects: table.acts.unwrap_or(true),
            // What does nothing can be done twice.
            is_idempotent: table.idempotent.unwrap_or(table.acts == Some(false)),
            allows_widgets: table.widgets,
            is_action: table.action,
            approval: table.approval.map(|mode| self.approval_mode(&mode)).transpose()?.unwrap_or_default(),
        })
    }

    fn http_method(&self, method: Option<SpannedText>) -> Result<Method> {
        let Some(method) = method else { return Ok(Method::POST) };
        match method.as_ref().as_str() {
            "GET" => Ok(Method::GET),
            "POST" => Ok(Method::POST),
            "PUT" => Ok(Method::PUT),
            "PATCH" => Ok(Method::PATCH),
            "DELETE" => Ok(Method::DELETE),
            _ => Err(self.error_at(method.span(), "this is not GET, POST, PUT, PATCH or DELETE")),
        }
    }

    /// Every `{name}` in the path must be a required argument.
    fn check_path(&self, url: &Spanned<String>, parameters: &Value) -> Result<()> {
        let required = |name: &str| {
            let list = parameters.get("required").and_then(Value::as_array);
            list.is_some_and(|list| list.iter().any(|entry| entry == name))
        };
        let path = url.as_ref().split(['?', '#']).next().unwrap_or_default();
        for segment in path.split('/').filter(|segment| segment.contains(['{', '}'])) {
            let argument = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            let is_valid = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            match argument.filter(|name| is_valid(name)) {
                Some(name) if required(name) => {}
                Some(name) => {
                    let problem = format!("{{{name}}} is not among the `required` arguments in `parameters`");
                    return Err(self.error_at(url.span(), problem));
                }
                None => {
                    return Err(self.error_at(
                        url.span(),
                        "an argument in the path is a whole segment: /{name}/, of letters, digits and _",
                    ));
                }
            }
        }
        Ok(())
    }

    /// What the query sets can be no argument: a call would send both, and services differ in which they take.
    fn check_query(&self, at: &SpannedText, url: &str, parameters: &Value) -> Result<()> {
        let Some((_, query)) = url.split_once('?') else { return Ok(()) };
        let query = query.split('#').next().unwrap_or_default();
        let names = query.split('&').filter_map(|pair| pair.split('=').next()).filter(|name| !name.is_empty());
        for name in names {
            let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
            if parameters.get("properties").and_then(|properties| properties.get(&*name)).is_some() {
                let problem = format!("the query sets {name}, which `parameters` declares too; keep one of the two");
                return Err(self.error_at(at.span(), problem));
            }
        }
        Ok(())
    }

    fn user_context(&self, context: RawUserContext) -> Result<UserContext> {
        let key = self.secret(context.env.span(), context.env.as_ref())?;
        if key.expose_secret().len() < MIN_KEY_BYTES {
            let problem = format!("the key in {} has fewer than {MIN_KEY_BYTES} bytes", context.env.as_ref());
            return Err(self.error_at(context.env.span(), problem));
        }
        let header = context.header.map(|name| self.header_name(&name)).transpose()?;
        let audience = context.audience.map(|audience| self.text(&audience)).transpose()?;
        let audience = audience.map(|audience| audience.to_string());
        Ok(UserContext { header: header.unwrap_or_else(|| USER_CONTEXT_HEADER.to_owned()), key, audience })
    }
}
