//! A real OpenID provider: `oidc-provider`, which `tests/identity/openid/server.mjs` starts.

use crate::agents::python::Listening;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use std::path::Path;
use threadline_test_requirements::Requirement;

/// A running provider. It ends with the test.
pub struct OpenId {
    listening: Listening,
    http: reqwest::Client,
}

impl OpenId {
    /// Starts a provider with a key for each algorithm; `None` when it is not installed.
    pub fn start() -> Option<Self> {
        let (directory, node) = (Requirement::OpenIdProvider.find()?, Requirement::Node.find()?);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/identity/openid/server.mjs");
        let listening = Listening::start(&node, &script, &[&directory], &[]);
        Some(Self { listening, http: reqwest::Client::builder().no_proxy().build().unwrap() })
    }

    pub fn issuer(&self) -> &str {
        &self.listening.url
    }

    /// Returns an access token that the provider issues to a client, `ada` or `bob`.
    pub async fn token(&self, client: &str, algorithm: &str) -> String {
        let form = format!("grant_type=client_credentials&resource=urn%3Athreadline%3A{algorithm}");
        let request = self.http.post(format!("{}/token", self.issuer())).basic_auth(client, Some("secret"));
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
    }

    /// Returns a token with exactly this header and payload, signed with a key of the provider.
    pub async fn sign(&self, algorithm: &str, header: &str, payload: &str) -> String {
        let body = json!({"alg": algorithm, "header": header, "payload": payload});
        self.test("sign", &body).await["token"].as_str().unwrap().to_owned()
    }

    /// Replaces all keys.
    pub async fn rotate(&self) {
        self.test("rotate", &json!({})).await;
    }

    /// Makes it misbehave, or be `normal` again.
    pub async fn behave(&self, mode: &str) {
        self.test("mode", &json!({"mode": mode})).await;
    }

    /// Returns how often its documents were read.
    pub async fn reads(&self) -> u64 {
        self.test("state", &json!({})).await["reads"].as_u64().unwrap()
    }

    /// Returns a public key as PEM.
    pub async fn pem(&self, algorithm: &str) -> String {
        self.test("state", &json!({})).await["pem"][algorithm].as_str().unwrap().to_owned()
    }

    async fn test(&self, route: &str, body: &Value) -> Value {
        let request = self.http.post(format!("{}/test/{route}", self.issuer())).body(body.to_string());
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }
}
