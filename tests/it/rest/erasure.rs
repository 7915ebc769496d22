//! Everything about a user: its archive, and its erasure. After that, nothing of the user is in any table or file.

use super::attachments::{attach, say_with};
use super::registration::command;
use crate::everywhere;
use crate::support::client::{PASSWORD, read};
use crate::support::{App, Client, Gate, Provider, Script, Setup, SigningKey, Upstream, eventually};
use jsonwebtoken::Algorithm;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use uuid::Uuid;

const EXPORT: &str = "/api/v1/auth/export";
const DELETE: &str = "/api/v1/auth/delete-account";
/// A word that occurs in the user's data and nowhere else.
const WORD: &str = "xylophone";

/// Uploads a file of a user, and sends a message with it.
async fn send_file(user: &Client, session: Uuid, text: &str) -> Uuid {
    let content = format!("{WORD} {}", "0123456789".repeat(60_000));
    let file = attach(user, &format!("{WORD}.txt"), "text/plain", content.as_bytes()).await;
    let said = say_with(user, session, text, &[&file]).await;
    assert_eq!(said.status, 200, "{}", said.text);
    file["id"].as_str().unwrap().parse().unwrap()
}

/// Gives a user something in every table.
async fn live(user: &Client) -> (Uuid, Uuid) {
    let session = user.session().await;
    let said = user.say(session, &format!("Add task: Buy a {WORD}")).await;
    assert_eq!(said.terminal()["type"], "run.completed");
    let file = send_file(user, session, WORD).await;
    let items = user.get(&format!("/api/v1/chatkit/sessions/{session}/items")).await;
    let item = items.data().as_array().unwrap().iter().find(|item| item["type"] == "assistant_message").unwrap();
    let feedback = json!({"item_ids": [item["id"]], "kind": "positive"});
    let given = user.post(&format!("/api/v1/chatkit/sessions/{session}/feedback"), &feedback).await;
    assert!(given.status < 300, "{}", given.text);
    let keyed = user.request(Method::POST, &Client::runs_path(session)).header("idempotency-key", WORD);
    assert_eq!(read(keyed.json(&Client::message(WORD))).await.status, 200);
    (session, file)
}

/// The tables that name a user, and the lines of an archive that have their rows: a type, and a member of it.
const EXPORTED: [(&str, &str, &str); 9] = [
    ("attachments", "attachment", "id"),
    ("audit_log", "audit", "action"),
    ("feedback", "feedback", "kind"),
    ("foreign_identities", "account", "/identity/subject"),
    ("runs", "run", "id"),
    ("tasks", "task", "id"),
    ("threads", "thread", "id"),
    ("usage_days", "usage", "runs"),
    ("user_roles", "account", "/roles/0/role"),
];

/// The tables that name a user and are in no archive, and why.
const NOT_EXPORTED: [(&str, &str); 4] = [
    ("account_erasures", "only while an account is erased, and then its tokens are refused"),
    ("budget_holds", "what is held until work ends, which goes then"),
    ("usage_months", "sums of the usage of each day, which is in the archive"),
    ("submissions", "hashes of requests of the last day; what the requests have made is in the archive"),
];

/// Returns the lines of an archive.
fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
}

fn of_type<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["type"] == kind).collect()
}

/// Returns the rows of all tables that mention a user, by table.
async fn traces(app: &App, user_id: Uuid) -> Vec<(String, i64)> {
    let database = &app.database;
    let mut found = Vec::new();
    // Whatever table is added: what names a user must go with the user.
    let mut columns: Vec<_> =
        database.tables_with("user_id").await.into_iter().map(|table| (table, "user_id")).collect();
    assert!(columns.len() > 10, "{columns:?}");
    columns.push(("users".to_owned(), "id"));
    let id = database.id(user_id);
    for (table, column) in columns {
        let rows = database.count(&format!("SELECT COUNT(*) AS rows FROM {table} WHERE {column} = {id}")).await;
        if rows > 0 {
            found.push((table, rows));
        }
    }
    for (table, column) in [("items", "body"), ("threads", "title"), ("tasks", "title"), ("run_events", "event")] {
        let rows =
            database.count(&format!("SELECT COUNT(*) AS rows FROM {table} WHERE {column} LIKE '%{WORD}%'")).await;
        if rows > 0 {
            found.push((format!("{table}.{column}"), rows));
        }
    }
    let holds_word = |segment: &Vec<u8>| segment.windows(WORD.len()).any(|bytes| bytes == WORD.as_bytes());
    let segments = database.segments().await.iter().filter(|segment| holds_word(segment)).count();
    if segments > 0 {
        found.push(("log_segments.events".to_owned(), i64::try_from(segments).unwrap_or(i64::MAX)));
    }
    found
}

/// Returns the files below a directory.
fn files(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path.display().to_string()] }).collect()
}

async fn is_gone(app: &App, user_id: Uuid) {
    eventually("nothing of the user is left", || async {
        let found = traces(app, user_id).await;
        (found.is_empty() && files(app.files.path()).is_empty()).then_some(())
    })
    .await;
}

everywhere! {
    async fn an_archive_has_everything_of_one_user(setup: Setup) {
        let app = setup.start().await;
        let (user, other) = (app.user().await, app.user().await);
        let (session, file) = live(&user).await;
        let foreign = other.session().await;
        let archive = user.get(EXPORT).await;
        assert_eq!((archive.status, archive.header("content-type")), (200, "application/x-ndjson"), "{}", archive.text);
        let lines = lines(&archive.text);
        assert_eq!(lines.last().unwrap()["type"], "end");
        let account = of_type(&lines, "account")[0];
        assert_eq!((&account["id"], &account["email"]), (&json!(user.user_id), &json!(user.email)));
        assert_eq!(of_type(&lines, "task").len(), 1);
        assert_eq!(of_type(&lines, "thread")[0]["id"], json!(session));
        let said = |text: &str| of_type(&lines, "item").iter().any(|item| item["body"].to_string().contains(text));
        assert!(said(&format!("Add task: Buy a {WORD}")));
        assert_eq!((of_type(&lines, "run").len(), of_type(&lines, "feedback").len()), (3, 1));
        assert_eq!(of_type(&lines, "attachment")[0]["id"], json!(file));
        let bytes: Vec<u8> = of_type(&lines, "attachment_bytes")
            .iter()
            .flat_map(|line| {
                use base64::Engine;
                base64::engine::general_purpose::STANDARD.decode(line["data"].as_str().unwrap()).unwrap()
            })
            .collect();
        assert_eq!(bytes.len(), WORD.len() + 1 + 600_000);
        assert!(bytes.starts_with(WORD.as_bytes()));
        assert!(!archive.text.contains(&foreign.to_string()) && !archive.text.contains("$argon2"));

        // By pieces over RPC, and by the command.
        let mut cursor = Value::Null;
        let mut text = String::new();
        loop {
            let piece = user.rpc_ok("auth.export", json!({"cursor": cursor})).await;
            text.push_str(piece["lines"].as_str().unwrap());
            cursor = piece["next"].clone();
            if cursor.is_null() {
                break;
            }
        }
        assert_eq!(crate::support::client::Reply { text, ..archive }.text.lines().count(), lines.len());
        let foreign_cursor = json!({"cursor": format!("items:{foreign}:-1")});
        let refused = user.rpc("auth.export", foreign_cursor).await;
        assert_eq!(refused["error"]["data"]["code"], "FORBIDDEN", "{refused}");
        assert_eq!(user.rpc("auth.export", json!({"cursor": "x"})).await["error"]["data"]["code"], "INVALID_REQUEST");
        let attachments = format!("--attachments-url={}", app.files.path().display());
        let printed = command(&app, &["user", "export", &user.email, &attachments]).await;
        assert_eq!(printed.lines().count(), lines.len());
    }

    async fn an_archive_is_finished_without_what_is_gone(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let (deleted, _) = live(&user).await;
        let kept = user.session().await;
        let lost = send_file(&user, kept, "hello").await;
        // A conversation that is deleted between two pieces, at each place in it.
        let cursors = ["items", "runs", "feedback"].map(|kind| match kind {
            "feedback" => format!("feedback:{deleted}:"),
            kind => format!("{kind}:{deleted}:-1"),
        });
        assert!(user.delete(&format!("/api/v1/chatkit/sessions/{deleted}")).await.status < 300);
        for cursor in cursors {
            let piece = user.rpc_ok("auth.export", json!({"cursor": cursor})).await;
            assert!(piece["lines"].as_str().unwrap().contains(&kept.to_string()), "{piece}");
        }
        // A file that the storage has lost.
        std::fs::remove_file(app.files.path().join(lost.to_string()).join("content")).unwrap();
        let archive = user.get(EXPORT).await;
        assert_eq!(archive.status, 200, "{}", archive.text);
        let lines = lines(&archive.text);
        assert_eq!(lines.last().unwrap()["type"], "end");
        let missing = of_type(&lines, "attachment_missing");
        assert_eq!((missing.len(), &missing[0]["id"]), (1, &json!(lost)));
    }

    async fn whatever_table_names_a_user_is_in_the_archive_and_goes_with_the_user(setup: Setup) {
        let (key, provider) = (SigningKey::generate("k", Algorithm::ES256), Provider::start().await);
        provider.publish(&[&key]);
        let setup = setup.with("AUTH_ISSUER", &provider.issuer).with("AUTH_CLAIM_BUDGET_CLASS", "plan");
        let app = setup.with("AUTH_AUDIENCE", crate::support::provider::AUDIENCE).start().await;
        let mut claims = provider.claims("ada");
        claims["plan"] = json!("basic");
        let user = app.anonymous().with_token(key.sign(&claims));
        let user_id: Uuid = user.get("/api/v1/auth/me").await.data()["id"].as_str().unwrap().parse().unwrap();
        live(&user).await;
        let id = user_id.to_string();
        command(&app, &["user", "give-role", &id, "--role", "support"]).await;
        command(&app, &["user", "set-class", &id, "--class", "gold"]).await;
        let printed = command(&app, &["key", "create", "shop", "--methods", "auth.me", "--users", &id]).await;
        let service = app.anonymous().with_token(printed.lines().next().unwrap());
        service.rpc_ok("auth.me", json!({"_meta": {"user": id}})).await;

        let lines = lines(&user.get(EXPORT).await.text);
        let account = of_type(&lines, "account")[0];
        assert_eq!((&account["budget_class"], &account["identity"]["budget_class"]), (&json!("gold"), &json!("basic")));
        for table in app.database.tables_with("user_id").await {
            if NOT_EXPORTED.iter().any(|(known, _)| *known == table) {
                continue;
            }
            let Some((_, kind, member)) = EXPORTED.iter().find(|(known, ..)| *known == table) else {
                panic!("{table} names a user: export it, or say in NOT_EXPORTED why not");
            };
            let count = format!("SELECT COUNT(*) AS rows FROM {table} WHERE user_id = {}", app.database.id(user_id));
            assert!(app.database.count(&count).await > 0, "the user of this test has nothing in {table}");
            let pointer = if member.starts_with('/') { (*member).to_owned() } else { format!("/{member}") };
            let has_member = |line: &&Value| line.pointer(&pointer).is_some_and(|value| !value.is_null());
            assert!(of_type(&lines, kind).iter().any(has_member), "the archive has nothing of {table}");
        }
        assert_eq!(user.post(DELETE, &json!({})).await.status, 202);
        is_gone(&app, user_id).await;
    }

    async fn an_erased_account_leaves_nothing(setup: Setup) {
        let app = setup.start().await;
        let (user, other) = (app.user().await, app.user().await);
        let user_id = user.user_id.unwrap();
        let (_, file) = live(&user).await;
        // As a crash leaves it in the middle of an upload.
        std::fs::write(app.files.path().join(file.to_string()).join("content#1"), WORD).unwrap();
        let kept = other.session().await;
        other.say(kept, "hello").await;
        let stream = user.follow_session(user.session().await, "", None).await.expect("a stream");
        user.post(DELETE, &json!({})).await.fails(401, "INVALID_CREDENTIALS");
        user.post(DELETE, &json!({"password": "not the password"})).await.fails(401, "INVALID_CREDENTIALS");
        let begun = user.post(DELETE, &json!({"password": PASSWORD})).await;
        assert_eq!((begun.status, &begun.data()["user_id"]), (202, &json!(user_id)));
        user.get(EXPORT).await.fails(401, "UNAUTHORIZED");
        let stream = stream.finish().await;
        let last = &stream.events.last().unwrap().1;
        assert!(last["type"] == "error" || last["type"] == "thread.deleted", "{last}");
        is_gone(&app, user_id).await;
        let sums = "SELECT COUNT(*) AS rows FROM anonymous_usage WHERE runs = 3 AND prompt_tokens >= 0";
        assert_eq!(app.database.count(sums).await, 1);

        // The other user lost nothing, and the address can be used again.
        assert_eq!(other.history(kept).await["messages"].as_array().map(Vec::len), Some(2));
        let again = json!({"email": user.email, "password": PASSWORD});
        assert_eq!(app.anonymous().post("/api/v1/auth/register", &again).await.status, 201);
    }

    async fn an_erasure_goes_on_after_a_crash_and_with_the_command(setup: Setup) {
        let app = setup.start().await;
        let (one, two) = (app.user().await, app.user().await);
        live(&one).await;
        assert_eq!(one.post(DELETE, &json!({"password": PASSWORD})).await.status, 202);
        let app = app.crash_and_restart().await;
        is_gone(&app, one.user_id.unwrap()).await;

        let two = two.at(&app);
        live(&two).await;
        let attachments = format!("--attachments-url={}", app.files.path().display());
        command(&app, &["user", "delete", &two.email, "--yes", &attachments]).await;
        is_gone(&app, two.user_id.unwrap()).await;
        two.get("/api/v1/auth/me").await.fails(401, "UNAUTHORIZED");
    }

    async fn a_user_that_is_answered_can_be_erased(setup: Setup) {
        let (upstream, gate) = (Upstream::start().await, Gate::closed());
        upstream.queue(Script::stream().words(&[WORD]).stop(&gate).done("stop"));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let mut stream = user.start(session, WORD).await.expect("a stream");
        stream.until_said(WORD).await;
        assert_eq!(user.post(DELETE, &json!({"password": PASSWORD})).await.status, 202);
        is_gone(&app, user.user_id.unwrap()).await;
        gate.open();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_the_provider_from_before_the_erasure_creates_no_account() {
    let (key, provider) = (SigningKey::generate("k", Algorithm::ES256), Provider::start().await);
    provider.publish(&[&key]);
    let setup = Setup::new().await.with("AUTH_ISSUER", &provider.issuer);
    let app = setup.with("AUTH_AUDIENCE", crate::support::provider::AUDIENCE).start().await;
    // The clock of the provider is ahead of ours.
    let ahead = |seconds: i64| {
        let mut claims = provider.claims("ada");
        claims["iat"] = json!(chrono::Utc::now().timestamp() + seconds);
        claims
    };
    let client = app.anonymous().with_token(key.sign(&ahead(20)));
    let me = client.get("/api/v1/auth/me").await;
    let user_id: Uuid = me.data()["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(client.post(DELETE, &json!({})).await.status, 202);
    is_gone(&app, user_id).await;
    client.get("/api/v1/auth/me").await.fails(401, "UNAUTHORIZED");
    assert_eq!(app.database.count("SELECT COUNT(*) AS rows FROM users").await, 0);

    // A newer token does, and so does a service that names the user. Neither waits until a cache has forgotten.
    let newer = app.anonymous().with_token(key.sign(&ahead(30)));
    let id = eventually("the user is a new one", || async {
        let me = newer.get("/api/v1/auth/me").await;
        (me.status == 200).then(|| me.data()["id"].clone())
    })
    .await;
    assert_ne!(id, json!(user_id));
    let printed = command(&app, &["key", "create", "shop", "--methods", "auth.*", "--users", "*"]).await;
    let service = app.anonymous().with_token(printed.lines().next().unwrap());
    let named = json!({"_meta": {"user": "https://shop.example|7"}});
    let first = service.rpc_ok("auth.me", named.clone()).await["id"].clone();
    service.rpc_ok("auth.delete_account", named.clone()).await;
    is_gone(&app, first.as_str().unwrap().parse().unwrap()).await;
    let second = eventually("the user is a new one", || async {
        let me = service.rpc("auth.me", named.clone()).await;
        me["result"]["id"].as_str().map(ToOwned::to_owned)
    })
    .await;
    assert_ne!(json!(second), first);
}
