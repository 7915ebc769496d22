//! Values that several tables have.

use super::shape::{FromEnvironment, Named, Text, Worth};
use super::{Result, Source};
use crate::config::{CallLimits, SecretPair};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;

/// Characters of a name: what OpenAI takes as the name of a function.
const NAME_CHARS: usize = 64;
const TIMEOUT: Duration = Duration::from_secs(20);
const CONCURRENCY: usize = 16;
const RESULT_BYTES: usize = 32 * 1024;

impl Source<'_> {
    /// A name that models, metrics and log lines can carry.
    pub(super) fn name(&self, name: &Text) -> Result<Arc<str>> {
        let text = name.as_ref().as_str();
        let right = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if text.is_empty() || text.len() > NAME_CHARS || !text.chars().all(right) {
            let problem = format!("a name has 1 to {NAME_CHARS} letters, digits, _ and -");
            return Err(self.wrong(name.span(), problem));
        }
        Ok(text.into())
    }

    /// Text that is not empty, without the blanks around it.
    pub(super) fn text(&self, text: &Text) -> Result<Arc<str>> {
        match text.as_ref().trim() {
            "" => Err(self.wrong(text.span(), "this must not be empty")),
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
            return Err(self.wrong(number.span(), problem));
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
            timeout: timeout.map_or(TIMEOUT, |seconds| Duration::from_secs(seconds.into())),
            concurrency: self.number(max_concurrency, 1..=10_000)?.map_or(CONCURRENCY, size),
            result_bytes: self.number(max_result_bytes, 256..=1_048_576)?.map_or(RESULT_BYTES, size),
        })
    }

    /// The schema of a tool's arguments: a table, or JSON as text. Without one it has none.
    pub(super) fn schema(&self, schema: Option<Spanned<Value>>) -> Result<Value> {
        let Some(schema) = schema else { return Ok(json!({"type": "object", "properties": {}})) };
        let span = schema.span();
        let schema = match schema.into_inner() {
            Value::String(text) => serde_json::from_str(&text)
                .map_err(|error| self.wrong(span.clone(), format!("this is not JSON: {error}")))?,
            schema => schema,
        };
        if schema.get("type") != Some(&json!("object")) {
            return Err(self.wrong(span, "arguments are an object: the schema's `type` must be \"object\""));
        }
        match jsonschema::validator_for(&schema) {
            Ok(_) => Ok(schema),
            Err(error) => Err(self.wrong(span, format!("this is no JSON Schema: {error}"))),
        }
    }

    /// Headers of a request.
    pub(super) fn headers(&self, headers: Named<Worth>) -> Result<Vec<SecretPair>> {
        let headers = headers.into_iter().map(|(name, worth)| {
            let header = self.header_name(&name)?;
            let value = self.worth(name.span(), worth)?;
            if http::HeaderValue::from_str(value.expose_secret()).is_err() {
                return Err(self.wrong(name.span(), "the value of this header cannot stand in one"));
            }
            Ok(SecretPair { name: header, value })
        });
        headers.collect()
    }

    pub(super) fn header_name(&self, name: &Text) -> Result<String> {
        match http::HeaderName::try_from(name.as_ref()) {
            Ok(header) => Ok(header.as_str().to_owned()),
            Err(_) => Err(self.wrong(name.span(), "this is no name of a header")),
        }
    }

    /// Variables of a process.
    pub(super) fn environment(&self, variables: Named<Worth>) -> Result<Vec<SecretPair>> {
        let variables = variables.into_iter().map(|(name, worth)| {
            let text = name.as_ref();
            if text.is_empty() || text.contains(['=', '\0']) {
                return Err(self.wrong(name.span(), "this is no name of a variable"));
            }
            let value = self.worth(name.span(), worth)?;
            if value.expose_secret().contains('\0') {
                return Err(self.wrong(name.span(), "the value of this variable has a NUL character"));
            }
            Ok(SecretPair { name: text.clone(), value })
        });
        variables.collect()
    }

    fn worth(&self, span: Range<usize>, worth: Worth) -> Result<SecretString> {
        match worth {
            Worth::Plain(text) => Ok(text.into()),
            Worth::FromEnvironment(FromEnvironment { env, prefix }) => {
                let secret = self.secret(span, &env)?;
                Ok(format!("{prefix}{}", secret.expose_secret()).into())
            }
        }
    }

    /// A variable of the environment.
    pub(super) fn secret(&self, span: Range<usize>, name: &str) -> Result<SecretString> {
        match (self.variable)(name) {
            Some(text) if !text.trim().is_empty() => Ok(text.trim().into()),
            _ => Err(self.wrong(span, format!("the variable {name} is not set in the environment"))),
        }
    }

    pub(super) fn url(&self, url: &Text) -> Result<String> {
        let parsed = reqwest::Url::parse(url.as_ref().trim()).ok();
        let right = parsed.filter(|parsed| matches!(parsed.scheme(), "http" | "https") && parsed.has_host());
        // What the URL says is not repeated: it can carry a password.
        right.map(|_| url.as_ref().trim().to_owned()).ok_or_else(|| {
            self.wrong(url.span(), "this is no address: it begins with http:// or https:// and names a host")
        })
    }
}
