//! Tokens of a real OpenID provider: what it issues, and what else its keys can sign; rotation while tokens are in use;
//! a provider that is away, slow or broken. `rest::provider` has what no provider does by itself.

mod provider;

use self::provider::OpenId;
use crate::serve_and_split;
use crate::support::process::run;
use crate::support::{App, Setup, eventually, token};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::join_all;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const ME: &str = "/api/v1/auth/me";
const ALGORITHMS: [&str; 4] = ["RS256", "PS256", "ES256", "EdDSA"];
/// The words of the refusal of a token whose key the provider does not publish.
const UNKNOWN_KEY: &str = "does not publish";
/// Longest time in which a new key is noticed: the least time between two reads of the keys, with room for a busy
/// machine.
const NOTICED: Duration = Duration::from_secs(12);

fn trusting(setup: Setup, provider: &OpenId) -> Setup {
    setup.with("AUTH_ISSUER", provider.issuer()).with("AUTH_AUDIENCE", "another-app, threadline-tests")
}

/// Returns the claims of a good token as text, to which more can be added.
fn claims(provider: &OpenId, subject: &str) -> Value {
    let now = chrono::Utc::now().timestamp();
    json!({"iss": provider.issuer(), "sub": subject, "aud": "threadline-tests", "iat": now, "exp": now + 300})
}

/// Returns the text of claims with one of them written as this text; an empty text removes it.
fn with(claims: &Value, name: &str, text: &str) -> String {
    let mut others = claims.clone();
    others.as_object_mut().unwrap().remove(name);
    let others = others.to_string();
    if text.is_empty() { others } else { format!("{},\"{name}\":{text}}}", &others[..others.len() - 1]) }
}

/// Returns the id of the user of a token; the refusal if it is not accepted.
async fn user_of(app: &App, token: &str) -> Result<Value, String> {
    let reply = app.anonymous().with_token(token).get(ME).await;
    match reply.status {
        200 => Ok(reply.data()["id"].clone()),
        401 => Err(reply.fails(401, "UNAUTHORIZED").to_owned()),
        status => panic!("{status}: {}", reply.text),
    }
}

/// Returns the key id in the header of a token.
fn key_id(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}

fn part(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

serve_and_split! {
    async fn what_the_provider_issues_is_accepted_while_it_replaces_its_keys(setup: Setup) {
        let Some(provider) = OpenId::start() else { return };
        let app = trusting(setup, &provider).start().await;
        let ada = provider.token("ada", "RS256").await;
        let ada_id = user_of(&app, &ada).await.unwrap();
        for algorithm in ALGORITHMS {
            let token = provider.token("ada", algorithm).await;
            assert_eq!(user_of(&app, &token).await.unwrap(), ada_id, "{algorithm}");
        }
        assert_ne!(user_of(&app, &provider.token("bob", "EdDSA").await).await.unwrap(), ada_id);
        // A conversation with it, over each transport.
        let client = app.anonymous().with_token(ada.as_str());
        let session = client.session().await;
        assert_eq!(client.say(session, "hello").await.terminal()["type"], "run.completed");
        let mut socket = client.socket().await;
        assert_eq!(socket.ok("auth.me", json!({})).await["id"], ada_id);
        let mut stream = client.follow_session(session, "?snapshot=true", None).await.expect("a stream");
        stream.next().await.expect("an event");

        provider.rotate().await;
        let fresh = provider.token("ada", "RS256").await;
        assert_ne!(key_id(&fresh), key_id(&ada));
        let rotated = Instant::now();
        eventually("the new key is known", || async { user_of(&app, &fresh).await.ok() }).await;
        assert!(rotated.elapsed() < NOTICED, "{:?}", rotated.elapsed());
        for algorithm in ALGORITHMS {
            let token = provider.token("ada", algorithm).await;
            assert_eq!(user_of(&app, &token).await.unwrap(), ada_id, "{algorithm}");
        }
        // The provider has withdrawn the key before: its tokens are refused, call by call.
        let refusal = user_of(&app, &ada).await.unwrap_err();
        assert!(refusal.contains("kid") && refusal.contains(UNKNOWN_KEY), "{refusal}");
        let answer = socket.call("auth.me", json!({})).await;
        assert_eq!(answer["error"]["data"]["code"], "UNAUTHORIZED", "{answer}");
        // Who has a token of the new key continues. A stream that was open stays, until its token expires.
        let client = app.anonymous().with_token(fresh.as_str());
        assert_eq!(client.say(session, "hello again").await.terminal()["type"], "run.completed");
        stream.until("run.completed").await;

        // The provider is away: known keys work, for known users and new ones. Unknown ids are refused without traffic.
        provider.behave("down").await;
        let before = provider.reads().await;
        for subject in ["ada", "somebody-new"] {
            let payload = claims(&provider, subject).to_string();
            let header = json!({"alg": "ES256", "kid": key_id(&provider.token("ada", "ES256").await)}).to_string();
            let token = provider.sign("ES256", &header, &payload).await;
            user_of(&app, &token).await.unwrap_or_else(|refusal| panic!("{subject}: {refusal}"));
        }
        let payload = claims(&provider, "ada").to_string();
        let made_up = join_all((0..40).map(|number| {
            let header = json!({"alg": "RS256", "kid": format!("made-up-{number}")}).to_string();
            let (provider, payload, app) = (&provider, &payload, &app);
            async move { user_of(app, &provider.sign("RS256", &header, payload).await).await.unwrap_err() }
        }));
        assert!(made_up.await.iter().all(|refusal| refusal.contains(UNKNOWN_KEY)));
        let reads = provider.reads().await - before;
        assert!(reads <= 1, "{reads} reads");
    }

    async fn only_tokens_that_are_right_in_each_part_are_accepted(setup: Setup) {
        let Some(provider) = OpenId::start() else { return };
        let setup = trusting(setup, &provider).with("AUTH_CLAIM_ROLES", "realm_access.roles");
        let app = setup.start().await;
        let id = key_id(&provider.token("ada", "RS256").await);
        let (good, header) = (claims(&provider, "ada"), json!({"alg": "RS256", "kid": id}));
        let now = chrono::Utc::now().timestamp();
        let ada = user_of(&app, &provider.sign("RS256", &header.to_string(), &good.to_string()).await).await.unwrap();

        // Dates are numbers, with or without a fraction, however far away (RFC 7519, section 2).
        let long = format!("\"{}\"", "x".repeat(255));
        let accepted = [
            ("exp", format!("{}.75", now + 60)),
            ("exp", "1e300".to_owned()),
            ("exp", "99999999999999999999999999".to_owned()),
            ("iat", format!("{now}.25")),
            ("iat", "-1".to_owned()),
            ("iat", String::new()),
            ("nbf", "-1e300".to_owned()),
            ("nbf", format!("{now}.5")),
            ("aud", "[\"x\", \"threadline-tests\"]".to_owned()),
            ("sub", "\"auth0|5f7c|8ec7\"".to_owned()),
            ("sub", "\"a\\u0001\\n\\t\\u007f|\\ud83d\\ude00\"".to_owned()),
            ("sub", "\"   \"".to_owned()),
            ("sub", long),
            ("email", "7".to_owned()),
            ("realm_access", "{\"roles\": [\"editor\", 7]}".to_owned()),
        ];
        for (name, text) in &accepted {
            let token = provider.sign("RS256", &header.to_string(), &with(&good, name, text)).await;
            let user = user_of(&app, &token).await.unwrap_or_else(|refusal| panic!("{name} {text}: {refusal}"));
            assert_eq!(user == ada, *name != "sub", "{name} {text}: subjects are compared letter by letter");
        }
        let subjects = accepted.iter().filter(|(name, _)| *name == "sub").count() + 1;
        let users = app.database.count("SELECT COUNT(*) AS rows FROM foreign_identities").await;
        assert_eq!(usize::try_from(users).unwrap(), subjects);
        let roles = "SELECT COUNT(*) AS rows FROM foreign_identities WHERE roles = '[\"editor\"]'";
        assert_eq!(app.database.count(roles).await, 1);

        let refused = [
            ("exp", (now - 1).to_string(), "expired"),
            ("exp", format!("{}.5", now - 1), "expired"),
            ("exp", "0".to_owned(), "expired"),
            ("exp", "-1e300".to_owned(), "expired"),
            ("exp", "1e999".to_owned(), ""),
            ("exp", format!("\"{}\"", now + 60), ""),
            ("exp", "null".to_owned(), ""),
            ("exp", "true".to_owned(), ""),
            ("exp", format!("[{}]", now + 60), ""),
            ("exp", String::new(), ""),
            ("nbf", (now + 3600).to_string(), "not valid yet"),
            ("nbf", "1e300".to_owned(), "not valid yet"),
            ("nbf", format!("\"{now}\""), ""),
            ("iat", "\"yesterday\"".to_owned(), ""),
            ("iat", "1e999".to_owned(), ""),
            ("aud", "\"threadline\"".to_owned(), "aud"),
            ("aud", "\"THREADLINE-TESTS\"".to_owned(), "aud"),
            ("aud", "\"another-app, threadline-tests\"".to_owned(), "aud"),
            ("aud", "[]".to_owned(), "aud"),
            ("aud", "[\"threadline-tests\", 7]".to_owned(), ""),
            ("aud", "{\"threadline-tests\": true}".to_owned(), ""),
            ("aud", String::new(), ""),
            ("iss", format!("\"{}/\"", provider.issuer()), "iss"),
            ("iss", "\"https://evil.example\"".to_owned(), "iss"),
            ("iss", format!("[\"{}\"]", provider.issuer()), ""),
            ("iss", String::new(), ""),
            ("sub", "\"\"".to_owned(), "sub"),
            ("sub", format!("\"{}\"", "x".repeat(256)), "sub"),
            ("sub", format!("\"{}\"", "ü".repeat(128)), "sub"),
            ("sub", "\"a\\u0000b\"".to_owned(), "sub"),
            ("sub", "\"\\ud800\"".to_owned(), ""),
            ("sub", "7".to_owned(), ""),
            ("sub", "[\"ada\"]".to_owned(), ""),
            ("sub", "null".to_owned(), ""),
            ("sub", String::new(), ""),
            // Twice (RFC 7519, section 4).
            ("x\": 1, \"sub", "\"bob\", \"sub\": \"ada\"".to_owned(), ""),
        ];
        for (name, text, word) in refused {
            let token = provider.sign("RS256", &header.to_string(), &with(&good, name, &text)).await;
            let refusal = user_of(&app, &token).await.expect_err(&format!("{name} {text}"));
            assert!(refusal.contains(word), "{name} {text}: {refusal}");
        }
        for payload in ["", "7", "[]", "{", "null", "{}"] {
            let token = provider.sign("RS256", &header.to_string(), payload).await;
            user_of(&app, &token).await.expect_err(payload);
        }
    }

    async fn games_with_the_header_and_the_signature_are_lost(setup: Setup) {
        let Some(provider) = OpenId::start() else { return };
        let app = trusting(setup, &provider).start().await;
        let id = key_id(&provider.token("ada", "RS256").await);
        let good = claims(&provider, "ada").to_string();
        let header = |changes: Value| {
            let mut header = json!({"alg": "RS256", "kid": id});
            for (name, value) in changes.as_object().unwrap() {
                header[name] = value.clone();
            }
            header.to_string()
        };
        // A key without an id may be any that fits: there are several keys, and one for each algorithm.
        for (algorithm, header) in [
            ("RS256", "{\"alg\":\"RS256\"}".to_owned()),
            ("EdDSA", "{\"alg\":\"EdDSA\",\"kid\":null}".to_owned()),
            ("RS256", header(json!({"typ": "JWT"}))),
            ("RS256", header(json!({"typ": "application/at+jwt"}))),
            // Where else the key might be is not read (RFC 8725, 3.10).
            ("RS256", header(json!({"jku": "http://127.0.0.1:1/keys", "x5u": "file:///etc/passwd", "x5t": "x"}))),
        ] {
            let token = provider.sign(algorithm, &header, &good).await;
            user_of(&app, &token).await.unwrap_or_else(|refusal| panic!("{header}: {refusal}"));
        }
        for changes in [
            json!({"kid": "../../etc/passwd"}),
            json!({"kid": "' OR 1=1 --"}),
            json!({"kid": "k".repeat(3_000)}),
            json!({"kid": ""}),
            json!({"kid": 7}),
            json!({"kid": [id]}),
            json!({"crit": ["exp"], "exp": 1}),
            json!({"crit": ["b64"], "b64": false}),
            json!({"crit": []}),
            json!({"crit": null}),
            json!({"typ": "logout+jwt"}),
            json!({"typ": "dpop+jwt"}),
            json!({"typ": 7}),
            json!({"alg": "rs256"}),
            json!({"alg": "RS512"}),
            json!({"alg": "PS256"}),
            json!({"alg": "ES256"}),
            json!({"alg": "none"}),
            json!({"alg": "None"}),
            json!({"alg": ""}),
            json!({"alg": null}),
            json!({"alg": ["RS256"]}),
        ] {
            let token = provider.sign("RS256", &header(changes.clone()), &good).await;
            user_of(&app, &token).await.expect_err(&changes.to_string());
        }

        let signed = provider.sign("RS256", &header(json!({})), &good).await;
        let [head, body, signature]: [&str; 3] = signed.split('.').collect::<Vec<_>>().try_into().unwrap();
        let stranger = "A".repeat(signature.len());
        let es256 = key_id(&provider.token("ada", "ES256").await);
        let es256 = part(&json!({"alg": "ES256", "kid": es256}).to_string());
        let zeros = URL_SAFE_NO_PAD.encode([0; 64]);
        let bob = part(&claims(&provider, "bob").to_string());
        let mut tokens = vec![
            ("without a signature", format!("{head}.{body}.")),
            ("of two parts", format!("{head}.{body}")),
            ("of four parts", format!("{signed}.{signature}")),
            ("with `none` and no signature", format!("{}.{body}.", part("{\"alg\":\"none\"}"))),
            ("with another signature", format!("{head}.{body}.{stranger}")),
            ("with the claims of somebody else", format!("{head}.{bob}.{signature}")),
            ("with padding", format!("{head}=.{body}.{signature}")),
            ("with a space", format!("{head}.{body} .{signature}")),
            ("of zeros", format!("{es256}.{body}.{zeros}")),
            ("with its key in its header", format!("{}.{body}.{signature}", part("{\"alg\":\"RS256\",\"jwk\":{}}"))),
            ("of 12,000 bytes", format!("{head}.{body}.{}", "A".repeat(12_000))),
        ];
        // The public key as a shared secret, in each form in which a library may have it.
        let pem = provider.pem("RS256").await;
        let claims: Value = serde_json::from_str(&good).unwrap();
        for secret in [pem.as_str(), pem.trim_end(), &pem.replace('\n', "")] {
            for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                tokens.push(("with the public key as the secret", token::sign(&claims, algorithm, secret)));
            }
        }
        for (what, token) in tokens {
            user_of(&app, &token).await.expect_err(what);
        }
        user_of(&app, &signed).await.unwrap();
    }
}

/// Returns what `doctor` says about the provider.
async fn examine(issuer: &str) -> String {
    let settings = [
        ("DATABASE_URL", "sqlite://:memory:".to_owned()),
        ("AUTH_ISSUER", issuer.to_owned()),
        ("AUTH_AUDIENCE", "threadline-tests".to_owned()),
    ];
    let report = tokio::task::spawn_blocking(move || run(&["doctor"], &settings)).await.unwrap();
    let report = String::from_utf8_lossy(&report.stdout).into_owned();
    let line = report.lines().find(|line| line.contains("identity"));
    line.unwrap_or_else(|| panic!("{report}")).to_owned()
}

/// A known key, an unknown one and the issuer, whatever the provider does meanwhile.
async fn bears(app: &App, known: &str, unknown: &str, what: &str) {
    let began = Instant::now();
    let calls = join_all((0..12).map(|_| user_of(app, unknown))).await;
    for refusal in calls {
        let refusal = refusal.expect_err(what);
        assert!(refusal.contains(UNKNOWN_KEY), "{what}: {refusal}");
    }
    // One read at a time, and one for all who wait: two would take twice as long.
    assert!(began.elapsed() < Duration::from_secs(9), "{what}: {:?}", began.elapsed());
    user_of(app, known).await.unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_provider_costs_no_known_key_and_doctor_says_what_is_wrong() {
    let Some(provider) = OpenId::start() else { return };
    assert!(!examine(provider.issuer()).await.contains("FAIL"), "a provider that is well");
    let modes = ["down", "garbage", "empty", "deep", "huge", "redirect", "slow"];
    let start = |mode: &'static str| {
        let (keys, provider) = (format!("{}/jwks?mode={mode}", provider.issuer()), &provider);
        async move { trusting(Setup::new().await, provider).with("AUTH_JWKS_URL", keys).start().await }
    };
    let apps = join_all(modes.map(start)).await;
    let known = provider.token("ada", "ES256").await;
    let header = json!({"alg": "ES256", "kid": "unknown"}).to_string();
    let unknown = provider.sign("ES256", &header, &claims(&provider, "ada").to_string()).await;
    for app in &apps {
        eventually("the keys are read", || async { user_of(app, &known).await.ok() }).await;
    }
    provider.behave("by-query").await;
    // After which an unknown key lets the keys be read again.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let before = provider.reads().await;
    join_all(apps.iter().zip(modes).map(|(app, mode)| bears(app, &known, &unknown, mode))).await;
    assert_eq!(provider.reads().await - before, modes.len() as u64, "one read by each service");
    for app in &apps {
        let log = app.log().iter().map(ToString::to_string).collect::<String>();
        assert!(log.contains("keys of the identity provider cannot be read") && log.contains("AUTH_JWKS_URL"), "{log}");
        crate::rpc::nobody_panicked(app);
    }
    drop(apps);

    for mode in ["down", "garbage", "deep", "huge", "redirect", "other-issuer"] {
        provider.behave(mode).await;
        let line = examine(provider.issuer()).await;
        assert!(line.contains("FAIL") && line.contains("AUTH_ISSUER"), "{mode}: {line}");
    }
}
