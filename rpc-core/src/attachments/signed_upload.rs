//! Signs a URL for one upload to a bucket so that the signature covers the size of the file as well: AWS Signature
//! Version 4, in the query.
//!
//! It is our own because the client of the bucket leaves `content-length` out of what it signs. A browser sends that
//! header by itself, and the bucket refuses a body of another length.

use aws_lc_rs::{digest, hmac};
use chrono::{DateTime, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;
use url::Url;

/// The characters that stay as they are in a signed query: those that RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who signs.
pub(super) struct Credentials<'a> {
    pub(super) key_id: &'a str,
    pub(super) secret_key: &'a str,
    pub(super) session_token: Option<&'a str>,
}

/// What is signed.
pub(super) struct SignedRequest<'a> {
    pub(super) method: &'a str,
    /// Without a query.
    pub(super) url: Url,
    pub(super) region: &'a str,
    /// Headers that the request must have, by their names in lower case; without `host`.
    pub(super) headers: BTreeMap<&'static str, String>,
    pub(super) lifetime: Duration,
}

impl SignedRequest<'_> {
    /// Returns the URL with the signature.
    pub(super) fn sign(mut self, credentials: &Credentials<'_>, now: DateTime<Utc>) -> Url {
        let (day, time) = (now.format("%Y%m%d").to_string(), now.format("%Y%m%dT%H%M%SZ").to_string());
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let host = match (self.url.host_str(), self.url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        self.headers.insert("host", host);
        let names = self.headers.keys().copied().collect::<Vec<_>>().join(";");
        let mut query = BTreeMap::from([
            ("X-Amz-Algorithm", ALGORITHM.to_owned()),
            ("X-Amz-Credential", format!("{}/{scope}", credentials.key_id)),
            ("X-Amz-Date", time.clone()),
            ("X-Amz-Expires", self.lifetime.as_secs().to_string()),
            ("X-Amz-SignedHeaders", names.clone()),
        ]);
        if let Some(token) = credentials.session_token {
            query.insert("X-Amz-Security-Token", token.to_owned());
        }
        let pair = |(name, value): (&&str, &String)| format!("{name}={}", utf8_percent_encode(value, RESERVED));
        let query = query.iter().map(pair).collect::<Vec<_>>().join("&");
        let headers = self.headers.iter().fold(String::new(), |mut text, (name, value)| {
            // Writing to a text does not fail.
            let _ = writeln!(text, "{name}:{}", value.trim());
            text
        });
        let request = format!("{}\n{}\n{query}\n{headers}\n{names}\nUNSIGNED-PAYLOAD", self.method, self.url.path());
        let hashed = hex(digest::digest(&digest::SHA256, request.as_bytes()).as_ref());
        let text = format!("{ALGORITHM}\n{time}\n{scope}\n{hashed}");
        let first = format!("AWS4{}", credentials.secret_key).into_bytes();
        let key = [day.as_str(), self.region, "s3", "aws4_request"].iter().fold(first, |key, part| mac(&key, part));
        let signature = hex(&mac(&key, &text));
        self.url.set_query(Some(&format!("{query}&X-Amz-Signature={signature}")));
        self.url
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: Credentials<'_> = Credentials {
        key_id: "AKIAIOSFODNN7EXAMPLE",
        secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        session_token: None,
    };

    fn request(method: &'static str) -> SignedRequest<'static> {
        SignedRequest {
            method,
            url: "https://examplebucket.s3.amazonaws.com/test.txt".parse().unwrap(),
            region: "us-east-1",
            headers: BTreeMap::new(),
            lifetime: Duration::from_secs(86_400),
        }
    }

    fn now() -> DateTime<Utc> {
        "2013-05-24T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_example_of_the_manual_has_its_signature() {
        // https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
        let url = request("GET").sign(&CREDENTIALS, now());
        assert_eq!(
            url.as_str(),
            "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
    }

    #[test]
    fn the_signature_depends_on_the_size() {
        let of = |bytes: &str| {
            let headers = BTreeMap::from([("content-length", bytes.to_owned()), ("content-type", "a/b".to_owned())]);
            SignedRequest { headers, ..request("PUT") }.sign(&CREDENTIALS, now())
        };
        assert!(of("1").as_str().contains("X-Amz-SignedHeaders=content-length%3Bcontent-type%3Bhost"));
        assert_ne!(of("1"), of("5000000000"));
    }
}
