//! A small identity provider: a discovery document, keys that can change, and tokens of any kind.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// The audience of the service in tests.
pub const AUDIENCE: &str = "threadline-tests";

/// A provider on a port of its own.
pub struct Provider {
    pub issuer: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// What the discovery document says.
    issuer: String,
    keys: Vec<Value>,
    reads: usize,
    is_down: bool,
}

/// A key that signs.
#[derive(Clone)]
pub struct SigningKey {
    pub id: String,
    pub algorithm: Algorithm,
    encoding: EncodingKey,
    /// The public part.
    pub jwk: Value,
}

impl SigningKey {
    pub fn generate(id: &str, algorithm: Algorithm) -> Self {
        let (encoding, mut jwk) = match algorithm {
            Algorithm::RS256 | Algorithm::PS256 => {
                let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("an RSA key");
                // PKCS #8 wraps the key of PKCS #1 in a header, which has 26 bytes for keys of 2048 bits.
                let encoding = EncodingKey::from_rsa_der(&pair.serialized_der()[26..]);
                let jwk = serde_json::to_value(Jwk::from_encoding_key(&encoding, algorithm).expect("a JWK")).unwrap();
                (encoding, jwk)
            }
            Algorithm::ES256 => {
                let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("an EC key");
                let point = pair.public_key_raw();
                let [x, y] = [&point[1..33], &point[33..65]].map(|part| URL_SAFE_NO_PAD.encode(part));
                let jwk = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y});
                (EncodingKey::from_ec_der(pair.serialized_der()), jwk)
            }
            Algorithm::EdDSA => {
                let pair = KeyPair::generate_for(&PKCS_ED25519).expect("an Ed25519 key");
                let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key_raw())});
                (EncodingKey::from_ed_der(pair.serialized_der()), jwk)
            }
            other => panic!("no provider signs with {other:?}"),
        };
        jwk["kid"] = id.into();
        jwk["use"] = "sig".into();
        jwk.as_object_mut().unwrap().remove("alg");
        Self { id: id.to_owned(), algorithm, encoding, jwk }
    }

    /// Signs claims, with the id of the key in the header.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(Some(&self.id), self.algorithm, claims)
    }

    /// Signs claims with another header.
    pub fn sign_as(&self, id: Option<&str>, algorithm: Algorithm, claims: &Value) -> String {
        let header = Header { kid: id.map(str::to_owned), ..Header::new(algorithm) };
        jsonwebtoken::encode(&header, claims, &self.encoding).expect("a token")
    }
}

impl Provider {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let issuer = format!("http://{}/tenant", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { issuer: issuer.clone(), ..State::default() }));
        let serving = state.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let state = serving.clone();
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                        let mut bytes = [0; 1024];
                        match stream.read(&mut bytes).await {
                            Ok(count @ 1..) => head.extend_from_slice(&bytes[..count]),
                            _ => return,
                        }
                    }
                    let head = String::from_utf8_lossy(&head).into_owned();
                    let path = head.split(' ').nth(1).unwrap_or_default();
                    let answer = state.lock().unwrap().answer(path);
                    let (status, body) =
                        answer.map_or(("503 Down", "down".to_owned()), |body| ("200 OK", body.to_string()));
                    let length = body.len();
                    let response =
                        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
                    let _ = stream.write_all(response.as_bytes()).await;
                });
            }
        });
        Self { issuer, state }
    }

    /// Publishes these keys and no others.
    pub fn publish(&self, keys: &[&SigningKey]) {
        self.publish_raw(keys.iter().map(|key| key.jwk.clone()).collect());
    }

    pub fn publish_raw(&self, keys: Vec<Value>) {
        self.state.lock().unwrap().keys = keys;
    }

    /// Says another issuer in the discovery document.
    pub fn claim_issuer(&self, issuer: &str) {
        self.state.lock().unwrap().issuer = issuer.to_owned();
    }

    /// Answers 503 to everything.
    pub fn go_down(&self, is_down: bool) {
        self.state.lock().unwrap().is_down = is_down;
    }

    /// Returns how often the keys were read.
    pub fn reads(&self) -> usize {
        self.state.lock().unwrap().reads
    }

    /// Returns the claims of a good token, an hour from its end.
    pub fn claims(&self, subject: &str) -> Value {
        let now = chrono::Utc::now().timestamp();
        json!({"iss": self.issuer, "sub": subject, "aud": AUDIENCE, "exp": now + 3600, "iat": now})
    }
}

impl State {
    fn answer(&mut self, path: &str) -> Option<Value> {
        if self.is_down {
            return None;
        }
        if path.ends_with("/tenant/.well-known/openid-configuration") {
            let origin = self.issuer.split("/tenant").next().unwrap_or_default();
            return Some(json!({"issuer": self.issuer, "jwks_uri": format!("{origin}/tenant/keys")}));
        }
        if path.ends_with("/tenant/keys") {
            self.reads += 1;
            return Some(json!({"keys": self.keys}));
        }
        None
    }
}
