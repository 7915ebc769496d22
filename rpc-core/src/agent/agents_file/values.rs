//! Validates values that several tables have.

use super::raw::{EnvReference, SpannedText, TableOf, ValueOrEnv};
use super::{AgentsFileReader, Result};
use crate::config::{CallLimits, SecretPair};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;

/// Maximum length of a name: the limit of OpenAI for names of functions.
const MAX_NAME_CHARS: usize = 64;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);
const DEFAULT_CONCURRENCY: usize = 16;
const DEFAULT_RESULT_BYTES: usize = 32 * 1024;

impl AgentsFileReader<'_> {
    /// Validates the name of an agent or a tool. Models, metrics and log lines contain it.
    pub(super) fn name(&self, name: &SpannedText) -> Result<Arc<str>> {
        let text = name.as_ref().as_str();
        let is_valid = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if text.is_empty() || text.len() > MAX_NAME_CHARS || !text.chars().all(is_valid) {
            let problem = format!("a name has 1 to {MAX_NAME_CHARS} letters, digits, _ and -");
            return Err(self.error_at(name.span(), problem));
        }
        Ok(text.into())
    }

    /// Trims a text. It must not be empty.
    pub(super) fn text(&self, text: &SpannedText) -> Result<Arc<str>> {
        match text.as_ref().trim() {
            "" => Err(self.error_at(text.span(), "this must not be empty")),
            text => Ok(text.into()),
        }
    }

    pub(super) fn number<T: PartialOrd + Copy + std::fmt::Display>(
        &self,
        number: Option<Spanned<T>>,
        range: RangeInclusive<T>,
    ) -> Result<Option<T>> {
        let Some(number) = number else { return Ok(None) };
        if !range.contains(number.as_ref()) {
            let problem = format!("this is not from {} to {}", range.start(), range.end());
            return Err(self.error_at(number.span(), problem));
        }
        Ok(Some(*number.as_ref()))
    }

    pub(super) fn limits(
        &self,
        timeout_seconds: Option<Spanned<u32>>,
        max_concurrency: Option<Spanned<u32>>,
        max_result_bytes: Option<Spanned<u32>>,
    ) -> Result<CallLimits> {
        let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let timeout = self.number(timeout_seconds, 1..=600)?;
        Ok(CallLimits {
            timeout: timeout.map_or(DEFAULT_TIMEOUT, |seconds| Duration::from_secs(seconds.into())),
            concurrency: self.number(max_concurrency, 1..=10_000)?.map_or(DEFAULT_CONCURRENCY, size),
            result_bytes: self.number(max_result_bytes, 256..=1_048_576)?.map_or(DEFAULT_RESULT_BYTES, size),
        })
    }

    /// Validates the schema of a tool's arguments: a table, or JSON as text. Without a schema, a tool has no arguments.
    pub(super) fn parameters_schema(&self, schema: Option<Spanned<Value>>) -> Result<Value> {
        let Some(schema) = schema else { return Ok(json!({"type": "object", "properties": {}})) };
        let span = schema.span();
        let schema = match schema.into_inner() {
            Value::String(text) => serde_json::from_str(&text)
                .map_err(|error| self.error_at(span.clone(), format!("this is not JSON: {error}")))?,
            schema => schema,
        };
        if schema.get("type") != Some(&json!("object")) {
            return Err(self.error_at(span, "arguments are an object: the schema's `type` must be \"object\""));
        }
        match jsonschema::validator_for(&schema) {
            Ok(_) => Ok(schema),
            Err(error) => Err(self.error_at(span, format!("this is not a JSON Schema: {error}"))),
        }
    }

    /// Validates the headers of requests.
    pub(super) fn headers(&self, headers: TableOf<ValueOrEnv>) -> Result<Vec<SecretPair>> {
        let headers = headers.into_iter().map(|(name, value)| {
            let header = self.header_name(&name)?;
            let value = self.value(name.span(), value)?;
            if http::HeaderValue::from_str(value.expose_secret()).is_err() {
                return Err(self.error_at(name.span(), "the value of this header has invalid characters"));
            }
            Ok(SecretPair { name: header, value })
        });
        headers.collect()
    }

    pub(super) fn header_name(&self, name: &SpannedText) -> Result<String> {
        match http::HeaderName::try_from(name.as_ref()) {
            Ok(header) => Ok(header.as_str().to_owned()),
            Err(_) => Err(self.error_at(name.span(), "this is not the name of a header")),
        }
    }

    /// Validates the environment variables of a process.
    pub(super) fn environment(&self, variables: TableOf<ValueOrEnv>) -> Result<Vec<SecretPair>> {
        let variables = variables.into_iter().map(|(name, value)| {
            let text = name.as_ref();
            if text.is_empty() || text.contains(['=', '\0']) {
                return Err(self.error_at(name.span(), "this is not the name of a variable"));
            }
            let value = self.value(name.span(), value)?;
            if value.expose_secret().contains('\0') {
                return Err(self.error_at(name.span(), "the value of this variable has a NUL character"));
            }
            Ok(SecretPair { name: text.clone(), value })
        });
        variables.collect()
    }

    fn value(&self, span: Range<usize>, value: ValueOrEnv) -> Result<SecretString> {
        match value {
            ValueOrEnv::Value(text) => Ok(text.into()),
            ValueOrEnv::Env(EnvReference { env, prefix }) => {
                let secret = self.secret(span, &env)?;
                Ok(format!("{prefix}{}", secret.expose_secret()).into())
            }
        }
    }

    /// Returns the value of one of our environment variables.
    pub(super) fn secret(&self, span: Range<usize>, name: &str) -> Result<SecretString> {
        match (self.variable)(name) {
            Some(text) if !text.trim().is_empty() => Ok(text.trim().into()),
            _ => Err(self.error_at(span, format!("the variable {name} is not set in the environment"))),
        }
    }

    pub(super) fn url(&self, url: &SpannedText) -> Result<String> {
        let parsed = reqwest::Url::parse(url.as_ref().trim()).ok();
        let valid = parsed.filter(|parsed| matches!(parsed.scheme(), "http" | "https") && parsed.has_host());
        // The error does not repeat the URL, which can contain a password.
        valid.map(|_| url.as_ref().trim().to_owned()).ok_or_else(|| {
            self.error_at(url.span(), "this is not a URL: it must begin with http:// or https:// and name a host")
        })
    }
}
