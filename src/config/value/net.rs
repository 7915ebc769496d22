//! Types of settings: URLs, origins, networks, socket addresses.

use super::Value;
use http::Uri;
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// `sqlite://path` or `postgres://...`, which can contain a password.
#[derive(Debug, Clone)]
pub struct DatabaseUrl(SecretString);

/// `http://...` or `https://...`, without a query and without a slash at the end: paths are appended to it as text. Can
/// contain a password.
#[derive(Debug, Clone)]
pub struct HttpUrl(SecretString);

/// Base URL of a model's server: `http://...` or `https://...`. Paths are put before its query, which can have the
/// version of the API (Azure) or a key.
#[derive(Debug, Clone)]
pub struct ModelUrl(SecretString);

/// `http://...` or `https://...`, kept letter by letter: an issuer is compared as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerUrl(String);

/// `http://...` or `https://...`, which can contain a password or a key, also in its query.
#[derive(Debug, Clone)]
pub struct ReportUrl(SecretString);

/// `ws://...` or `wss://...`, which can contain a password.
#[derive(Debug, Clone)]
pub struct CoreUrl(SecretString);

/// `redis://...` or `rediss://...`, which can contain a password.
#[derive(Debug, Clone)]
pub struct RedisUrl(SecretString);

/// Origins of web pages, as in the header `Origin`; `*` is any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(pub Vec<String>);

/// Networks. A single address is a network with one address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(pub Vec<IpNet>);

impl DatabaseUrl {
    /// Returns the URL, including its password.
    pub fn as_str(&self) -> &str {
        self.0.expose_secret()
    }

    /// Returns whether it is the URL of a PostgreSQL server.
    pub fn is_postgres(&self) -> bool {
        !self.as_str().starts_with("sqlite://")
    }
}

impl HttpUrl {
    /// Returns the URL, without a slash at the end.
    pub fn as_str(&self) -> &str {
        self.0.expose_secret()
    }
}

impl ModelUrl {
    /// Returns the URL, including its query.
    pub fn as_str(&self) -> &str {
        self.0.expose_secret()
    }
}

impl IssuerUrl {
    /// Returns the URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ReportUrl {
    /// Returns the URL.
    pub fn secret(&self) -> &SecretString {
        &self.0
    }
}

impl CoreUrl {
    /// Returns the URL.
    pub fn as_str(&self) -> &str {
        self.0.expose_secret()
    }
}

impl RedisUrl {
    /// Returns the URL, including its password.
    pub fn as_str(&self) -> &str {
        self.0.expose_secret()
    }
}

impl Value for DatabaseUrl {
    const PLACEHOLDER: &'static str = "URL";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let known = matches!(scheme, "sqlite" | "postgres" | "postgresql");
        (known && !rest.is_empty() && !text.contains(char::is_control)).then(|| Self(text.into()))
    }

    fn expected() -> String {
        "sqlite://PATH or postgres://USER:PASSWORD@HOST/DATABASE".to_owned()
    }
}

impl Value for HttpUrl {
    const PLACEHOLDER: &'static str = "URL";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        url_with_host(text, &["http", "https"])
            .filter(|uri| uri.query().is_none())
            .map(|_| Self(text.trim_end_matches('/').into()))
    }

    fn expected() -> String {
        "a URL without a query, such as https://threadline.example".to_owned()
    }
}

impl Value for ModelUrl {
    const PLACEHOLDER: &'static str = "URL";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        url_with_host(text, &["http", "https"]).map(|_| Self(text.into()))
    }

    fn expected() -> String {
        "a URL such as https://openrouter.ai/api/v1".to_owned()
    }
}

impl Value for ReportUrl {
    const PLACEHOLDER: &'static str = "URL";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        url_with_host(text, &["http", "https"]).map(|_| Self(text.into()))
    }

    fn expected() -> String {
        "a URL such as https://errors.example/threadline".to_owned()
    }
}

impl Value for IssuerUrl {
    const PLACEHOLDER: &'static str = "URL";

    fn parse(text: &str) -> Option<Self> {
        url_with_host(text, &["http", "https"])
            .filter(|uri| uri.authority().is_some_and(|authority| !authority.as_str().contains('@')))
            .map(|_| Self(text.to_owned()))
    }

    fn expected() -> String {
        "a URL such as https://login.example".to_owned()
    }
}

impl Value for CoreUrl {
    const PLACEHOLDER: &'static str = "URL";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        // An HTTP URL is accepted too. The gateway always uses a WebSocket.
        let text = match text.split_once("://")? {
            ("http", rest) => format!("ws://{rest}"),
            ("https", rest) => format!("wss://{rest}"),
            _ => text.to_owned(),
        };
        url_with_host(&text, &["ws", "wss"]).map(|_| Self(text.into()))
    }

    fn expected() -> String {
        "a URL such as ws://127.0.0.1:8001 or wss://core.example".to_owned()
    }
}

impl Value for RedisUrl {
    const PLACEHOLDER: &'static str = "URL";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        url_with_host(text, &["redis", "rediss"]).map(|_| Self(text.into()))
    }

    fn expected() -> String {
        "a URL such as redis://127.0.0.1:6379/0".to_owned()
    }
}

impl Value for SocketAddr {
    const PLACEHOLDER: &'static str = "ADDRESS:PORT";

    fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("localhost:") {
            Some(port) => port.parse().ok().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            None => text.parse().ok(),
        }
    }

    fn expected() -> String {
        "ADDRESS:PORT such as 127.0.0.1:8000, 0.0.0.0:8000 or [::1]:8000".to_owned()
    }
}

impl Value for Origins {
    const PLACEHOLDER: &'static str = "LIST";

    fn parse(text: &str) -> Option<Self> {
        let origins: Vec<String> = if text.starts_with('[') {
            serde_json::from_str(text).ok()?
        } else {
            text.split(',').map(|origin| origin.trim().to_owned()).filter(|origin| !origin.is_empty()).collect()
        };
        origins.iter().map(|origin| normal_origin(origin)).collect::<Option<Vec<_>>>().map(Self)
    }

    fn expected() -> String {
        r#"a list of origins SCHEME://HOST[:PORT], such as https://app.example,http://localhost:3000 or the same as a JSON array, or *"#
            .to_owned()
    }
}

impl Value for Networks {
    const PLACEHOLDER: &'static str = "LIST";

    fn parse(text: &str) -> Option<Self> {
        let one = |text: &str| text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(one).collect::<Option<Vec<_>>>().map(Self)
    }

    fn expected() -> String {
        "a list of addresses and networks, such as 127.0.0.1,10.0.0.0/8".to_owned()
    }
}

fn url_with_host(text: &str, schemes: &[&str]) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let known = uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme));
    (known && uri.host().is_some_and(|host| !host.is_empty())).then_some(uri)
}

/// Returns an origin as browsers send it: lower case, without a path and without the default port of the scheme.
fn normal_origin(text: &str) -> Option<String> {
    if text == "*" {
        return Some(text.to_owned());
    }
    let uri: Uri = text.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?.to_ascii_lowercase(), uri.authority()?);
    let bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !authority.as_str().contains('@');
    if !bare || authority.host().is_empty() {
        return None;
    }
    let host = authority.host().to_ascii_lowercase();
    match (scheme.as_str(), authority.port_u16()) {
        ("http", Some(80)) | ("https", Some(443)) | (_, None) => Some(format!("{scheme}://{host}")),
        (_, Some(port)) => Some(format!("{scheme}://{host}:{port}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_a_json_array_or_a_comma_list_and_are_normalised() {
        let expected = Origins(vec!["https://app.example".into(), "http://localhost:3000".into()]);
        for text in [
            "https://app.example,http://localhost:3000",
            " HTTPS://App.Example:443/ , http://localhost:3000 ,",
            r#"["https://app.example", "http://localhost:3000"]"#,
        ] {
            assert_eq!(Origins::parse(text.trim()), Some(expected.clone()), "{text}");
        }
        assert_eq!(Origins::parse("*"), Some(Origins(vec!["*".into()])));
        for text in ["app.example", "https://app.example/path", "https://a?b", "[1]", "[\"https://a\"", "https://u@a"] {
            assert_eq!(Origins::parse(text), None, "{text}");
        }
    }

    #[test]
    fn networks_are_addresses_or_ranges_of_both_families() {
        let networks = Networks::parse("127.0.0.1, 10.0.0.0/8,::1,fd00::/8").unwrap();
        let text: Vec<_> = networks.0.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["127.0.0.1/32", "10.0.0.0/8", "::1/128", "fd00::/8"]);
        assert_eq!(Networks::parse("10.0.0.0/33"), None);
        assert_eq!(Networks::parse("proxy.example"), None);
    }

    #[test]
    fn http_urls_of_a_core_become_websocket_urls() {
        assert_eq!(CoreUrl::parse("http://core:8001").unwrap().as_str(), "ws://core:8001");
        assert_eq!(CoreUrl::parse("https://core").unwrap().as_str(), "wss://core");
        assert_eq!(CoreUrl::parse("wss://core/rpc").unwrap().as_str(), "wss://core/rpc");
        assert!(CoreUrl::parse("core:8001").is_none());
    }
}
