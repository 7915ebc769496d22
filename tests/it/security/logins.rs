//! Guessing passwords: slow for each account, and no reason to keep others out.

use crate::everywhere;
use crate::support::client::PASSWORD;
use crate::support::{App, Client, Setup, eventually};
use serde_json::{Value, json};

const LOGIN: &str = "/api/v1/auth/login";

fn credentials(email: &str, password: &str) -> Value {
    json!({"email": email, "password": password})
}

/// A client whose address is another one, of those that a proxy passes on.
async fn login_from(app: &App, host: u32, email: &str, password: &str) -> crate::support::Reply {
    let request = app.anonymous().request(reqwest::Method::POST, LOGIN).json(&credentials(email, password));
    crate::support::client::read(request.header("x-forwarded-for", format!("198.51.100.{host}"))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_token_keeps_nobody_from_logging_in() {
    let app = Setup::new().await.with("RATE_LIMIT_REQUESTS_PER_MINUTE", 4).start().await;
    let user: Client = app.user().await;
    let nobody = app.anonymous();
    for _ in 0..4 {
        nobody.get("/api/v1/auth/me").await.fails(401, "UNAUTHORIZED");
    }
    nobody.get("/api/v1/auth/me").await.fails(429, "RATE_LIMITED");
    nobody.post(LOGIN, &credentials(&user.email, PASSWORD)).await.data();
    for _ in 0..3 {
        nobody
            .post(LOGIN, &credentials("nobody@example.com", "wrong-password"))
            .await
            .fails(401, "INVALID_CREDENTIALS");
    }
    nobody.post(LOGIN, &credentials(&user.email, PASSWORD)).await.fails(429, "RATE_LIMITED");
    // Registration has an allowance of its own.
    let new = credentials("new@example.com", PASSWORD);
    assert_eq!(nobody.post("/api/v1/auth/register", &new).await.status, 201);
}

everywhere! {
    async fn one_account_is_not_guessed_from_many_addresses(setup: Setup) {
        let app = setup.with("TRUSTED_PROXIES", "127.0.0.1").start().await;
        let (user, other) = (app.user().await, app.user().await);
        login_from(&app, 1, &user.email, PASSWORD).await.data();
        for host in 2..12 {
            let refused = login_from(&app, host, &user.email.to_uppercase(), "a wrong password").await;
            refused.fails(401, "INVALID_CREDENTIALS");
        }
        let blocked = login_from(&app, 12, &user.email, PASSWORD).await;
        blocked.fails(429, "RATE_LIMITED");
        let wait: u64 = blocked.header("retry-after").parse().unwrap();
        assert!((1..=61).contains(&wait), "{wait}");
        // Neither another account is slowed down, nor the user at the address of before.
        login_from(&app, 12, &other.email, PASSWORD).await.data();
        login_from(&app, 1, &user.email, PASSWORD).await.data();
        // An account that does not exist behaves in the same way.
        for host in 2..12 {
            login_from(&app, host, "nobody@example.com", PASSWORD).await.fails(401, "INVALID_CREDENTIALS");
        }
        login_from(&app, 12, "nobody@example.com", PASSWORD).await.fails(429, "RATE_LIMITED");

        // The log says who guessed, and names no email.
        let log = eventually("all lines are there", || async {
            let log = app.log();
            let failed = log.iter().filter(|line| line["target"] == "threadline::security").count();
            (failed >= 22).then_some(log)
        })
        .await;
        let mut failed = log.iter().filter(|line| line["target"] == "threadline::security");
        assert!(failed.all(|line| line["ip"].as_str().unwrap().starts_with("198.51.100.")));
        assert!(!serde_json::to_string(&log).unwrap().contains(&user.email));
    }
}
