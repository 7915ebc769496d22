//! Tokens of an identity provider: which are accepted, who their users are, and what a provider that changes or is away
//! means.

use super::registration::{command, refused_command};
use crate::support::process::{SECRET, run};
use crate::support::provider::AUDIENCE;
use crate::support::{App, Client, Provider, Setup, SigningKey, eventually, token};
use crate::{everywhere, serve_and_split};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

const ME: &str = "/api/v1/auth/me";

/// Starts a service that accepts the tokens of a provider with these keys.
async fn start(setup: Setup, keys: &[&SigningKey]) -> (App, Provider) {
    let provider = Provider::start().await;
    provider.publish(keys);
    let app = trusting(setup, &provider).start().await;
    (app, provider)
}

fn trusting(setup: Setup, provider: &Provider) -> Setup {
    setup
        .with("AUTH_ISSUER", &provider.issuer)
        .with("AUTH_AUDIENCE", format!("another-app, {AUDIENCE}"))
        .with("REGISTRATION", "closed")
}

async fn user_of(client: &Client) -> Value {
    let me = client.get(ME).await;
    me.data().clone()
}

/// Returns claims with some that are other than in a good token. Null removes one.
fn changed(claims: &Value, changes: Value) -> Value {
    let mut claims = claims.clone();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

everywhere! {
    async fn a_user_is_issuer_and_subject_and_is_created_at_first_sight(setup: Setup) {
        let keys = [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA]
            .map(|algorithm| SigningKey::generate(&format!("{algorithm:?}"), algorithm));
        let (app, provider) = start(setup, &keys.each_ref()).await;
        let anybody = app.anonymous();
        let subject = "auth0|Ä/\"'\u{1f600}";
        let claims = changed(&provider.claims(subject), json!({"email": "Ada@Example.com", "roles": ["editor"]}));
        let mut ids = Vec::new();
        for key in &keys {
            let client = anybody.with_token(key.sign(&claims));
            let user = user_of(&client).await;
            assert_eq!(user["email"], "ada@example.com", "{:?}", key.algorithm);
            let over_rpc = client.rpc_ok("auth.me", json!({})).await;
            assert_eq!(over_rpc["id"], user["id"]);
            ids.push(user["id"].clone());
        }
        assert!(ids.iter().all(|id| *id == ids[0]), "one user: {ids:?}");

        // The first calls of a user may come together.
        let token = keys[0].sign(&provider.claims("together"));
        let together = futures::future::join_all((0..8).map(|_| {
            let client = anybody.with_token(token.as_str());
            async move { user_of(&client).await["id"].clone() }
        }))
        .await;
        assert!(together.iter().all(|id| *id == together[0]), "{together:?}");
        assert_ne!(together[0], ids[0]);
        assert_eq!(app.database.count("SELECT COUNT(*) AS rows FROM users").await, 2);

        // A whole conversation, over a socket too.
        let client = anybody.with_token(token);
        let session = client.session().await;
        assert_eq!(client.say(session, "hello").await.terminal()["type"], "run.completed");
        let mut socket = client.socket().await;
        assert_eq!(socket.ok("auth.me", json!({})).await["id"], together[0]);
        // An email address is only what the provider says: it joins no accounts.
        let other = anybody.with_token(keys[0].sign(&changed(&provider.claims("x"), json!({"email": "ada@example.com"}))));
        assert_ne!(user_of(&other).await["id"], ids[0]);
        let change = json!({"current_password": "!", "new_password": "a long password"});
        client.post("/api/v1/auth/change-password", &change).await.fails(400, "INVALID_REQUEST");
        let id = together[0].as_str().unwrap();
        let said = refused_command(&app, &["user", "reset-password", id]).await;
        assert!(said.contains("has no password"), "{said}");
        assert_eq!(user_of(&client).await["id"], together[0]);
        let login = json!({"email": together[0], "password": "!"});
        anybody.post("/api/v1/auth/login", &login).await.fails(401, "INVALID_CREDENTIALS");
    }

    async fn who_logs_out_everywhere_ends_the_tokens_of_the_provider_too(setup: Setup) {
        let key = SigningKey::generate("k", Algorithm::ES256);
        let (app, provider) = start(setup, &[&key]).await;
        let now = chrono::Utc::now().timestamp();
        let client = app.anonymous().with_token(key.sign(&provider.claims("ada")));
        let session = client.session().await;
        let stream = client.follow_session(session, "", None).await.expect("a stream");
        assert_eq!(client.post("/api/v1/auth/logout-everywhere", &json!({})).await.status, 200);
        let stream = stream.finish().await;
        assert_eq!(stream.events.last().unwrap().1["type"], "error", "{:?}", stream.types());
        client.get(ME).await.fails(401, "UNAUTHORIZED");
        let later = changed(&provider.claims("ada"), json!({"iat": now + 30}));
        assert_eq!(app.anonymous().with_token(key.sign(&later)).get(ME).await.status, 200, "a token from after it");
        let undated = changed(&provider.claims("ada"), json!({"iat": null}));
        app.anonymous().with_token(key.sign(&undated)).get(ME).await.fails(401, "UNAUTHORIZED");

        // The clock of the provider is ahead of ours, and the token ends all the same; so it does by the operator.
        for by_operator in [false, true] {
            let iat = chrono::Utc::now().timestamp() + 20;
            let ahead = changed(&provider.claims(&format!("ahead-{by_operator}")), json!({"iat": iat}));
            let client = app.anonymous().with_token(key.sign(&ahead));
            let id = user_of(&client).await["id"].as_str().unwrap().to_owned();
            if by_operator {
                command(&app, &["user", "logout", &id]).await;
            } else {
                assert_eq!(client.post("/api/v1/auth/logout-everywhere", &json!({})).await.status, 200);
            }
            eventually("the token is refused", || async { (client.get(ME).await.status == 401).then_some(()) }).await;
            eventually("a newer one is accepted", || async {
                let next = changed(&ahead, json!({"iat": chrono::Utc::now().timestamp() + 30}));
                (app.anonymous().with_token(key.sign(&next)).get(ME).await.status == 200).then_some(())
            })
            .await;
        }
    }
}

serve_and_split! {
    async fn a_token_that_is_not_right_is_refused(setup: Setup) {
        let (rsa, ec) = (SigningKey::generate("rsa", Algorithm::RS256), SigningKey::generate("ec", Algorithm::ES256));
        let stranger = SigningKey::generate("rsa", Algorithm::RS256);
        let (app, provider) = start(setup, &[&rsa, &ec]).await;
        let anybody = app.anonymous();
        let good = provider.claims("ada");
        let now = chrono::Utc::now().timestamp();
        assert_eq!(anybody.with_token(rsa.sign(&good)).get(ME).await.status, 200);

        // RFC 7519: dates are numbers, with or without a fraction; the audience is one or several.
        for accepted in [
            json!({"exp": now as f64 + 60.5, "iat": now as f64 - 0.25}),
            json!({"exp": 1e15}),
            json!({"nbf": now as f64 - 0.5}),
            json!({"nbf": -1e12}),
            json!({"iat": null}),
            json!({"aud": ["x", AUDIENCE]}),
            json!({"sub": "x".repeat(255)}),
            json!({"email": 7, "roles": {"no": "list"}}),
        ] {
            let token = rsa.sign(&changed(&good, accepted.clone()));
            assert_eq!(anybody.with_token(token).get(ME).await.status, 200, "{accepted}");
        }
        for refused in [
            json!({"exp": now - 1}),
            json!({"exp": -1e15}),
            json!({"exp": (now + 60).to_string()}),
            json!({"exp": null}),
            json!({"nbf": now + 3600}),
            json!({"nbf": 1e300}),
            json!({"iat": "yesterday"}),
            json!({"iat": now + 3600}),
            json!({"aud": "x"}),
            json!({"aud": []}),
            json!({"aud": null}),
            json!({"iss": format!("{}/", provider.issuer)}),
            json!({"iss": "https://evil.example"}),
            json!({"iss": null}),
            json!({"sub": ""}),
            json!({"sub": null}),
            json!({"sub": 7}),
            json!({"sub": "x".repeat(256)}),
            json!({"sub": "a\0b"}),
        ] {
            let reply = anybody.with_token(rsa.sign(&changed(&good, refused.clone()))).get(ME).await;
            assert_eq!(reply.status, 401, "{refused}: {}", reply.text);
        }

        // Games with the header.
        let public_key = rsa.jwk["n"].as_str().unwrap();
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = rsa.sign(&good);
        let (_, rest) = signed.split_once('.').unwrap();
        let (body, signature) = rest.split_once('.').unwrap();
        let tokens = [
            ("signed by a stranger under the id of a key", stranger.sign(&good)),
            ("for a key of another kind", rsa.sign_as(Some("ec"), Algorithm::RS256, &good)),
            ("for a key that does not exist", rsa.sign_as(Some("../../etc/passwd"), Algorithm::RS256, &good)),
            ("for a key with a long name", rsa.sign_as(Some(&"k".repeat(4_000)), Algorithm::RS256, &good)),
            ("signed with the public key as a secret", token::sign(&good, Algorithm::HS256, public_key)),
            ("signed with the secret of this service", token::sign(&good, Algorithm::HS256, SECRET)),
            ("without a signature", format!("{}.{}.", part(&json!({"alg": "none", "kid": "rsa"})), part(&good))),
            ("with `none` and a signature", format!("{}.{body}.{signature}", part(&json!({"alg": "none"})))),
            ("with an extension", format!("{}.{body}.{signature}", part(&json!({"alg": "RS256", "kid": "rsa", "crit": ["x"]})))),
            ("with another algorithm of the same key", rsa.sign_as(Some("rsa"), Algorithm::RS512, &good)),
            ("with a key of its own", format!("{}.{body}.{signature}", part(&json!({"alg": "RS256", "jwk": stranger.jwk})))),
        ];
        for (what, token) in tokens {
            let reply = anybody.with_token(token).get(ME).await;
            assert_eq!(reply.status, 401, "a token {what}: {}", reply.text);
        }
        // Without an id, any key may be the one.
        assert_eq!(anybody.with_token(ec.sign_as(None, Algorithm::ES256, &good)).get(ME).await.status, 200);
        // Tokens of this service are still accepted, and nobody is made up for them.
        let nobody = token::mint(uuid::Uuid::now_v7(), 60);
        anybody.with_token(nobody).get(ME).await.fails(401, "UNAUTHORIZED");
    }

    async fn keys_are_rotated_and_a_provider_that_is_away_costs_no_known_key(setup: Setup) {
        let (first, second) = (SigningKey::generate("1", Algorithm::RS256), SigningKey::generate("2", Algorithm::RS256));
        let (app, provider) = start(setup, &[&first]).await;
        let anybody = app.anonymous();
        assert_eq!(anybody.with_token(first.sign(&provider.claims("ada"))).get(ME).await.status, 200);

        provider.go_down(true);
        for subject in ["ada", "somebody-new"] {
            let token = first.sign(&provider.claims(subject));
            assert_eq!(anybody.with_token(token).get(ME).await.status, 200, "{subject}");
        }
        provider.go_down(false);

        // A new key is read when its first token comes; made up ids cause no more reads than one in ten seconds.
        provider.publish(&[&first, &second]);
        let token = second.sign(&provider.claims("ada"));
        eventually("the new key is known", || async {
            (anybody.with_token(token.as_str()).get(ME).await.status == 200).then_some(())
        })
        .await;
        let reads = provider.reads();
        for number in 0..50 {
            let token = second.sign_as(Some(&format!("made-up-{number}")), Algorithm::RS256, &provider.claims("ada"));
            anybody.with_token(token).get(ME).await.fails(401, "UNAUTHORIZED");
        }
        assert!(provider.reads() <= reads + 1, "{} reads", provider.reads() - reads);
    }

    async fn keys_that_are_not_for_signatures_are_not_used(setup: Setup) {
        let (good, bad) = (SigningKey::generate("good", Algorithm::RS256), SigningKey::generate("bad", Algorithm::RS256));
        let mut for_encryption = bad.jwk.clone();
        for_encryption["use"] = "enc".into();
        let shared = json!({"kty": "oct", "kid": "shared", "k": URL_SAFE_NO_PAD.encode(SECRET), "alg": "HS256"});
        let provider = Provider::start().await;
        provider.publish_raw(vec![json!({"kty": "new"}), json!(7), shared, for_encryption, good.jwk.clone()]);
        let app = trusting(setup, &provider).start().await;
        let anybody = app.anonymous();
        assert_eq!(anybody.with_token(good.sign(&provider.claims("ada"))).get(ME).await.status, 200);
        anybody.with_token(bad.sign(&provider.claims("ada"))).get(ME).await.fails(401, "UNAUTHORIZED");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_may_withdraw_all_its_keys() {
    let key = SigningKey::generate("k", Algorithm::ES256);
    let (app, provider) = start(Setup::new().await, &[&key]).await;
    let claims = provider.claims("ada");
    let client = app.anonymous().with_token(key.sign(&claims));
    assert_eq!(client.get(ME).await.status, 200);
    provider.publish(&[]);
    // A token with an unknown key lets the keys be read again, ten seconds after the last time.
    let unknown = app.anonymous().with_token(key.sign_as(Some("unknown"), Algorithm::ES256, &claims));
    eventually("the key is withdrawn", || async {
        unknown.get(ME).await.fails(401, "UNAUTHORIZED");
        (client.get(ME).await.status == 401).then_some(())
    })
    .await;
    provider.publish(&[&key]);
    eventually("the key is back", || async { (client.get(ME).await.status == 200).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_issuer_is_one_line_in_the_log_and_a_provider_that_was_never_reached_is_503() {
    let key = SigningKey::generate("k", Algorithm::ES256);
    let provider = Provider::start().await;
    provider.publish(&[&key]);
    provider.claim_issuer("https://login.example");
    let app = trusting(Setup::new().await, &provider).with("REGISTRATION", "open").start().await;
    let client = app.anonymous().with_token(key.sign(&provider.claims("ada")));
    client.get(ME).await.fails(503, "SERVICE_UNAVAILABLE");
    let told = eventually("the log names the setting", || async {
        app.log().iter().map(ToString::to_string).find(|line| line.contains("AUTH_ISSUER"))
    })
    .await;
    assert!(told.contains("https://login.example"), "{told}");

    let settings = [
        ("DATABASE_URL", "sqlite://:memory:".to_owned()),
        ("AUTH_ISSUER", provider.issuer.clone()),
        ("AUTH_AUDIENCE", AUDIENCE.to_owned()),
    ];
    let doctor = move || run(&["doctor"], &settings);
    let report = tokio::task::spawn_blocking(doctor).await.unwrap();
    let report = String::from_utf8_lossy(&report.stdout).into_owned();
    let line = report.lines().find(|line| line.contains("identity")).unwrap_or_else(|| panic!("{report}"));
    assert!(
        line.starts_with("FAIL") && line.contains("AUTH_ISSUER") && line.contains("https://login.example"),
        "{line}"
    );

    // Users with a password are not affected.
    assert_eq!(app.user().await.get(ME).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_may_replace_a_key_that_has_no_name() {
    let keys = [(); 2].map(|()| SigningKey::generate("", Algorithm::ES256));
    let nameless = keys.each_ref().map(|key| {
        let mut jwk = key.jwk.clone();
        jwk.as_object_mut().unwrap().remove("kid");
        jwk
    });
    let provider = Provider::start().await;
    provider.publish_raw(vec![nameless[0].clone()]);
    let app = trusting(Setup::new().await, &provider).start().await;
    let claims = provider.claims("ada");
    // With an id, and without.
    let [before, after] = keys
        .each_ref()
        .map(|key| [None, Some("1")].map(|id| app.anonymous().with_token(key.sign_as(id, Algorithm::ES256, &claims))));
    for client in &before {
        assert_eq!(client.get(ME).await.status, 200);
    }
    provider.publish_raw(vec![nameless[1].clone()]);
    let first = &after[0];
    eventually("the new key is known", || async { (first.get(ME).await.status == 200).then_some(()) }).await;
    assert_eq!(after[1].get(ME).await.status, 200);
    for client in before {
        client.get(ME).await.fails(401, "UNAUTHORIZED");
    }
}
