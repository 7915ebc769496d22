//! Types of settings: traces and error reports.

use super::Value;
use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

/// How spans are sent to the collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// Protobuf over HTTP.
    Http,
    /// gRPC.
    Grpc,
}

/// Headers of requests to the collector, which can be keys.
#[derive(Debug, Clone)]
pub struct OtlpHeaders(Vec<(HeaderName, HeaderValue)>);

/// Attributes of the process in its traces: `KEY=VALUE,...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceAttributes(Vec<(String, String)>);

/// Which traces are sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceSampler {
    /// All.
    AlwaysOn,
    /// None.
    AlwaysOff,
    /// A part of them, whatever the caller says.
    Ratio,
    /// As the caller says, and all that begin here.
    ParentOrOn,
    /// As the caller says, and none that begin here.
    ParentOrOff,
    /// As the caller says, and a part of those that begin here.
    ParentOrRatio,
}

/// A part of a whole, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio(f64);

impl OtlpHeaders {
    /// Returns names and values.
    pub fn pairs(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0
    }
}

impl ResourceAttributes {
    /// Returns names and values.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }
}

impl Ratio {
    /// Returns the number.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// Splits `KEY=VALUE,...`, whose values are percent-encoded.
fn pairs(text: &str) -> Option<Vec<(&str, String)>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=')?;
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?.into_owned();
            Some((name.trim(), value)).filter(|(name, _)| !name.is_empty())
        })
        .collect()
}

impl Value for OtlpProtocol {
    const PLACEHOLDER: &'static str = "PROTOCOL";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "http/protobuf" => Some(Self::Http),
            "grpc" => Some(Self::Grpc),
            _ => None,
        }
    }

    fn expected() -> String {
        "http/protobuf or grpc".to_owned()
    }
}

impl Value for OtlpHeaders {
    const PLACEHOLDER: &'static str = "LIST";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        let header = |(name, value): (&str, String)| {
            let mut value = HeaderValue::from_str(&value).ok()?;
            // So that no debug output shows it.
            value.set_sensitive(true);
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
        };
        pairs(text)?.into_iter().map(header).collect::<Option<_>>().map(Self)
    }

    fn expected() -> String {
        "a list of headers such as api-key=abc,x-tenant=chat, with special characters percent-encoded".to_owned()
    }
}

impl Value for ResourceAttributes {
    const PLACEHOLDER: &'static str = "LIST";

    fn parse(text: &str) -> Option<Self> {
        Some(Self(pairs(text)?.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()))
    }

    fn expected() -> String {
        "a list such as deployment.environment.name=production,team=chat".to_owned()
    }
}

impl Value for TraceSampler {
    const PLACEHOLDER: &'static str = "SAMPLER";

    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "always_on" => Self::AlwaysOn,
            "always_off" => Self::AlwaysOff,
            "traceidratio" => Self::Ratio,
            "parentbased_always_on" => Self::ParentOrOn,
            "parentbased_always_off" => Self::ParentOrOff,
            "parentbased_traceidratio" => Self::ParentOrRatio,
            _ => return None,
        })
    }

    fn expected() -> String {
        "always_on, always_off, traceidratio, or one of them after parentbased_".to_owned()
    }
}

impl Value for Ratio {
    const PLACEHOLDER: &'static str = "NUMBER";

    fn parse(text: &str) -> Option<Self> {
        text.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio)).map(Self)
    }

    fn expected() -> String {
        "a number from 0 to 1 such as 0.1".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_decoded_and_their_values_are_not_shown() {
        let headers = OtlpHeaders::parse("api-key=a%3Db%2Cc, X-Tenant = chat,").unwrap();
        let read: Vec<_> = headers.pairs().iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
        assert_eq!(read, [("api-key", "a=b,c"), ("x-tenant", "chat")]);
        assert!(!format!("{headers:?}").contains("chat"));
        for wrong in ["key", "=v", "a b=c", "k=%0A", "k=%ff"] {
            assert!(OtlpHeaders::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_ratio_is_a_part_of_one() {
        assert_eq!(Ratio::parse("0.25").map(Ratio::get), Some(0.25));
        for wrong in ["-0.1", "1.1", "NaN", "x"] {
            assert_eq!(Ratio::parse(wrong), None, "{wrong}");
        }
    }
}
