//! `/api/v1/auth`: accounts, logins, and invalid tokens.

use crate::support::client::PASSWORD;
use crate::support::process::SECRET;
use crate::support::token::{mint, sign};
use crate::support::{Client, Setup, Sse};
use crate::{everywhere, serve_and_split};
use jsonwebtoken::Algorithm;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use uuid::Uuid;

const REGISTER: &str = "/api/v1/auth/register";
const LOGIN: &str = "/api/v1/auth/login";
const ME: &str = "/api/v1/auth/me";

fn credentials(email: &str, password: &str) -> Value {
    json!({"email": email, "password": password})
}

everywhere! {
    async fn an_account_is_registered_and_logs_in(setup: Setup) {
        let app = setup.start().await;
        let anybody = app.anonymous();
        let registered = anybody.post(REGISTER, &credentials(" Ada@Example.COM ", PASSWORD)).await;
        assert_eq!(registered.status, 201);
        let user = registered.data().clone();
        assert_eq!(user["email"], "ada@example.com");
        assert_eq!(user["id"].as_str().unwrap().parse::<Uuid>().unwrap().get_version_num(), 7);
        assert!(user["created_at"].as_str().unwrap().ends_with('Z'), "{user}");
        assert_eq!(user.as_object().unwrap().len(), 3, "a user is id, email and created_at: {user}");

        anybody.post(REGISTER, &credentials("ada@example.com", PASSWORD)).await.fails(409, "EMAIL_TAKEN");
        anybody.post(REGISTER, &credentials("ADA@example.com", PASSWORD)).await.fails(409, "EMAIL_TAKEN");

        let login = anybody.post(LOGIN, &credentials("Ada@example.com", PASSWORD)).await;
        let expires: chrono::DateTime<chrono::Utc> = login.data()["expires_at"].as_str().unwrap().parse().unwrap();
        let lifetime = expires - chrono::Utc::now();
        assert!((1439..=1440).contains(&lifetime.num_minutes()), "a token lives a day: {lifetime}");
        assert_eq!(login.data()["user"], user);
        let ada = anybody.with_token(login.data()["token"].as_str().unwrap());
        let me = ada.get(ME).await;
        assert_eq!((me.status, me.data()), (200, &user));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_emails_and_passwords_are_refused_with_a_reason() {
    let app = Setup::new().await.start().await;
    let anybody = app.anonymous();
    for (email, password, names) in [
        ("a@example.com", "x".repeat(7), "8 to 128"),
        ("a@example.com", "x".repeat(129), "8 to 128"),
        ("a@example.com", "ü".repeat(7), "8 to 128"),
        ("not an email", "x".repeat(8), "email"),
        ("@example.com", "x".repeat(8), "email"),
        ("", "x".repeat(8), "email"),
    ] {
        let reply = anybody.post(REGISTER, &credentials(email, &password)).await;
        let message = reply.fails(400, "INVALID_REQUEST");
        assert!(message.contains(names), "{email} {password}: {message}");
    }
    // Characters count, not bytes.
    for (email, password) in [("short@example.com", "ü".repeat(8)), ("long@example.com", "ü".repeat(128))] {
        assert_eq!(anybody.post(REGISTER, &credentials(email, &password)).await.status, 201);
        assert_eq!(anybody.post(LOGIN, &credentials(email, &password)).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_does_not_reveal_accounts() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let mut medians = Vec::new();
    for email in [user.email.as_str(), "nobody@example.com"] {
        let mut times = Vec::new();
        for _ in 0..5 {
            let started = Instant::now();
            let reply = app.anonymous().post(LOGIN, &credentials(email, "not the password")).await;
            times.push(started.elapsed());
            assert_eq!(reply.fails(401, "INVALID_CREDENTIALS"), "Email or password is wrong.");
        }
        times.sort();
        medians.push(times[2]);
    }
    // Without a hash, the response for an unknown address would take a hundredth of the time.
    assert!(medians[1] * 4 > medians[0] && medians[0] * 4 > medians[1], "{medians:?}");
}

serve_and_split! {
    async fn an_invalid_token_opens_nothing(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let id = user.user_id.unwrap();
        let now = chrono::Utc::now().timestamp();
        let good = mint(id, 60);
        let claims = json!({"sub": id, "exp": now + 60});
        let (head, rest) = good.split_once('.').unwrap();
        let (body, signature) = rest.split_once('.').unwrap();
        // {"alg":"none","typ":"JWT"}
        let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
        let other = sign(&json!({"sub": Uuid::now_v7(), "exp": now + 60}), Algorithm::HS256, "another key");
        let other_body = other.split('.').nth(1).unwrap();
        let bad = [
            ("expired", format!("Bearer {}", mint(id, -1))),
            ("expired this second", format!("Bearer {}", mint(id, 0))),
            ("alg none", format!("Bearer {none}.{body}.")),
            ("alg none, signed", format!("Bearer {none}.{body}.{signature}")),
            ("another algorithm", format!("Bearer {}", sign(&claims, Algorithm::HS512, SECRET))),
            ("another key", format!("Bearer {}", sign(&claims, Algorithm::HS256, "another key"))),
            ("another body", format!("Bearer {head}.{other_body}.{signature}")),
            ("nobody", format!("Bearer {}", mint(Uuid::now_v7(), 60))),
            ("no expiry", format!("Bearer {}", sign(&json!({"sub": id}), Algorithm::HS256, SECRET))),
            ("no subject", format!("Bearer {}", sign(&json!({"exp": now + 60}), Algorithm::HS256, SECRET))),
            ("no UUID", format!("Bearer {}", sign(&json!({"sub": "ada", "exp": now + 60}), Algorithm::HS256, SECRET))),
            (
                "not yet",
                format!(
                    "Bearer {}",
                    sign(&json!({"sub": id, "exp": now + 60, "nbf": now + 30}), Algorithm::HS256, SECRET)
                ),
            ),
            ("no token", "Bearer".to_owned()),
            ("empty", "Bearer ".to_owned()),
            ("no JWT", "Bearer x.y.z".to_owned()),
            ("another scheme", format!("Basic {good}")),
            ("no scheme", good.clone()),
        ];
        let anybody = app.anonymous();
        for (what, header) in &bad {
            let request = anybody.request(Method::GET, ME).header("authorization", header);
            let reply = crate::support::client::read(request).await;
            assert_eq!((reply.status, &reply.body["error"]["code"]), (401, &json!("UNAUTHORIZED")), "{what}");
            assert_eq!(reply.header("www-authenticate"), "Bearer", "{what}");
        }
        for path in [ME.to_owned(), format!("{ME}?token={good}")] {
            let reply = anybody.get(&path).await;
            reply.fails(401, "UNAUTHORIZED");
            assert_eq!(reply.header("www-authenticate"), "Bearer");
        }
        let cookie = anybody.request(Method::GET, ME).header("cookie", format!("token={good}"));
        crate::support::client::read(cookie).await.fails(401, "UNAUTHORIZED");
        let twice = anybody.request(Method::GET, ME).header("authorization", format!("Bearer {good}"));
        let twice = twice.header("authorization", format!("Bearer {good}"));
        crate::support::client::read(twice).await.fails(401, "UNAUTHORIZED");
        assert_eq!(user.with_token(good).get(ME).await.status, 200);
    }

    async fn a_stream_ends_with_the_token_that_opened_it(setup: Setup) {
        let upstream = crate::support::Upstream::start().await;
        upstream.queue(crate::support::Script::stream().words(&["Once"]).hang());
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        // At least two whole seconds: the expiry of a token is in seconds.
        let brief = user.with_token(mint(user.user_id.unwrap(), 3));
        let started = Instant::now();
        let stream = brief.start(session, "Tell me").await.unwrap();
        let run = stream.run_id();
        let stream = stream.finish().await;
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        assert_eq!(stream.terminal()["type"], "error");
        assert!(stream.terminal()["message"].as_str().unwrap().contains("expired"), "{}", stream.terminal());
        assert_eq!(stream.text(), "Once");
        brief.get(ME).await.fails(401, "UNAUTHORIZED");

        // The run itself continues, and can be read with a new token.
        assert_eq!(user.run(run).await["status"], "running");
        let cancelled = user.post(&format!("/api/v1/chatkit/runs/{run}/cancel"), &json!({})).await;
        assert_eq!(cancelled.data()["status"], "cancelled");
        let last = stream.seqs().last().copied().unwrap();
        let rest = user.follow(run, Some(&format!("{run}:{last}"))).await.unwrap().finish().await;
        assert_eq!(rest.terminal()["type"], "run.cancelled");
        let whole: Sse = user.follow(run, None).await.unwrap().finish().await;
        assert_eq!(whole.text(), "Once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_algorithm_can_be_configured() {
    let app = Setup::new().await.with("ALGORITHM", "HS512").start().await;
    let anybody: Client = app.anonymous();
    let registered = anybody.post(REGISTER, &credentials("a@example.com", PASSWORD)).await;
    let id = registered.data()["id"].clone();
    let claims = json!({"sub": id, "exp": chrono::Utc::now().timestamp() + 60});
    let token = |algorithm| sign(&claims, algorithm, SECRET);
    assert_eq!(anybody.with_token(token(Algorithm::HS512)).get(ME).await.status, 200);
    anybody.with_token(token(Algorithm::HS256)).get(ME).await.fails(401, "UNAUTHORIZED");
}
