//! Who can register: `REGISTRATION`, invitations, the limit per address, and the one form of an email address.

use crate::support::client::PASSWORD;
use crate::support::process::run;
use crate::support::{App, Setup};
use crate::{everywhere, serve_and_split};
use serde_json::{Value, json};

const REGISTER: &str = "/api/v1/auth/register";
const LOGIN: &str = "/api/v1/auth/login";

fn account(email: &str) -> Value {
    json!({"email": email, "password": PASSWORD})
}

fn invited(email: &str, code: &str) -> Value {
    json!({"email": email, "password": PASSWORD, "invitation": code})
}

/// Runs a command on the database of a service. Returns what it prints.
pub async fn command(app: &App, arguments: &[&str]) -> String {
    let output = output_of(app, arguments).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that fails. Returns what it says about that.
pub async fn refused_command(app: &App, arguments: &[&str]) -> String {
    let output = output_of(app, arguments).await;
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

async fn output_of(app: &App, arguments: &[&str]) -> std::process::Output {
    let settings = [("DATABASE_URL", app.database.url())];
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let output = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(&arguments, &settings)
    });
    output.await.unwrap()
}

/// Creates an invitation. Returns its code and its id.
async fn invite(app: &App, arguments: &[&str]) -> (String, String) {
    let printed = command(app, &[&["invite", "create"], arguments].concat()).await;
    let mut lines = printed.lines();
    let code = lines.next().unwrap().to_owned();
    let id = lines.next().unwrap().strip_prefix("id ").unwrap().split(',').next().unwrap().to_owned();
    assert!(code.starts_with("tli_"), "{printed}");
    (code, id)
}

everywhere! {
    async fn a_closed_registration_leaves_the_command_only(setup: Setup) {
        let app = setup.with("REGISTRATION", "closed").start().await;
        let anybody = app.anonymous();
        let message = anybody.post(REGISTER, &account("ada@example.com")).await.fails(403, "REGISTRATION_CLOSED").to_owned();
        assert!(message.contains("operator"), "{message}");
        let refused = anybody.rpc("auth.register", account("ada@example.com")).await;
        assert_eq!(refused["error"]["data"]["code"], "REGISTRATION_CLOSED", "{refused}");
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "auth.register", "params": account("ada@example.com")});
        let batch = anybody.rpc_raw(json!([call, call]).to_string()).await.body;
        assert_eq!(batch[1]["error"]["data"]["code"], "REGISTRATION_CLOSED", "{batch}");

        let printed = command(&app, &["user", "create", "Ada@Example.com"]).await;
        assert!(printed.contains("ada@example.com"), "{printed}");
        let password = printed.lines().find_map(|line| line.strip_prefix("password: ")).expect("a new password");
        let login = anybody.post(LOGIN, &json!({"email": "ada@example.com", "password": password})).await;
        assert_eq!(login.status, 200, "{}", login.text);
    }

    async fn an_invitation_is_good_for_its_uses_until_it_expires(setup: Setup) {
        let app = setup.with("REGISTRATION", "invite").start().await;
        let anybody = app.anonymous();
        let refused = |body: Value| {
            let anybody = anybody.clone();
            async move { anybody.post(REGISTER, &body).await.fails(403, "INVITATION_REQUIRED").to_owned() }
        };
        assert!(refused(account("a@example.com")).await.contains("`invitation`"));
        refused(invited("a@example.com", "tli_no-such-code")).await;

        let (code, _) = invite(&app, &["--uses", "2"]).await;
        // What fails uses nothing.
        let short = json!({"email": "a@example.com", "password": "short", "invitation": code});
        anybody.post(REGISTER, &short).await.fails(400, "INVALID_REQUEST");
        assert_eq!(anybody.post(REGISTER, &invited("a@example.com", &code)).await.status, 201);
        anybody.post(REGISTER, &invited("a@example.com", &code)).await.fails(409, "EMAIL_TAKEN");
        assert_eq!(anybody.rpc("auth.register", invited("b@example.com", &code)).await["error"], Value::Null);
        refused(invited("c@example.com", &code)).await;

        let (code, _) = invite(&app, &["--email", "Bob@Example.com"]).await;
        refused(invited("mallory@example.com", &code)).await;
        assert_eq!(anybody.post(REGISTER, &invited("bob@example.COM", &code)).await.status, 201);

        let (code, id) = invite(&app, &[]).await;
        assert!(command(&app, &["invite", "list"]).await.contains(&id));
        command(&app, &["invite", "revoke", &id]).await;
        refused(invited("d@example.com", &code)).await;

        let (code, _) = invite(&app, &[]).await;
        let past = if app.database.is_postgres() { "now() - interval '1 second'" } else { "1" };
        app.database.batch(&format!("UPDATE invitations SET expires_at = {past}")).await;
        refused(invited("e@example.com", &code)).await;
        let stored = format!("SELECT COUNT(*) AS rows FROM invitations WHERE code_hash LIKE '%{}%'", &code[4..]);
        assert_eq!(app.database.count(&stored).await, 0, "the code itself is stored nowhere");
    }

    async fn two_registrations_do_not_share_the_last_use(setup: Setup) {
        let app = setup.with("REGISTRATION", "invite").start().await;
        let (code, _) = invite(&app, &[]).await;
        let anybody = app.anonymous();
        let replies = futures::future::join_all((0..6).map(|number| {
            let (anybody, body) = (anybody.clone(), invited(&format!("u{number}@example.com"), &code));
            async move { anybody.post(REGISTER, &body).await.status }
        }))
        .await;
        assert_eq!(replies.iter().filter(|status| **status == 201).count(), 1, "{replies:?}");
        assert!(replies.iter().all(|status| matches!(status, 201 | 403)), "{replies:?}");
    }
}

serve_and_split! {
    async fn an_address_registers_only_a_few_accounts_an_hour(setup: Setup) {
        let app = setup.with("REGISTRATIONS_PER_HOUR", 2).start().await;
        let anybody = app.anonymous();
        assert_eq!(anybody.post(REGISTER, &account("a@example.com")).await.status, 201);
        assert_eq!(anybody.rpc("auth.register", account("b@example.com")).await["error"], Value::Null);
        let refused = anybody.post(REGISTER, &account("c@example.com")).await;
        let message = refused.fails(429, "RATE_LIMITED");
        assert!(message.contains("2 per hour"), "{message}");
        assert!(refused.header("retry-after").parse::<u64>().unwrap() > 1_000, "{:?}", refused.headers);
        let refused = anybody.rpc("auth.register", account("c@example.com")).await;
        assert_eq!(refused["error"]["data"]["code"], "RATE_LIMITED", "{refused}");
        assert_eq!(anybody.post(LOGIN, &account("a@example.com")).await.status, 200, "a login is something else");
    }

    async fn an_email_address_has_one_form(setup: Setup) {
        let app = setup.start().await;
        let anybody = app.anonymous();
        let made = anybody.post(REGISTER, &account(" ＡＤＡ@Exa\u{301}mple.COM ")).await;
        assert_eq!(made.data()["email"], "ada@ex\u{e1}mple.com");
        anybody.post(REGISTER, &account("ada@ex\u{e1}mple.com")).await.fails(409, "EMAIL_TAKEN");
        assert_eq!(anybody.post(LOGIN, &account("Ada@EX\u{c1}MPLE.com")).await.status, 200);
        anybody.post(REGISTER, &account("a\u{200b}da@example.com")).await.fails(400, "INVALID_REQUEST");
        // An account of a release that did not normalise.
        app.database.batch("UPDATE users SET email = 'ada@exa\u{301}mple.com'").await;
        assert_eq!(anybody.post(LOGIN, &account("ADA@Exa\u{301}mple.com")).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_postgres_and_no_setting_says_how_to_create_the_first_account() {
    let Some(setup) = Setup::postgres().await else { return };
    let app = setup.with("REGISTRATION", "").start().await;
    app.anonymous().post(REGISTER, &account("ada@example.com")).await.fails(403, "REGISTRATION_CLOSED");
    let warned = app.log().iter().any(|line| {
        let words = line.to_string();
        words.contains("REGISTRATION is not set") && words.contains("threadline user create")
    });
    assert!(warned, "{:?}", app.log());
}
