//! Upgrade and rollback with data, as docs/OPERATIONS.md describes them.
//!
//! One binary cannot be two versions. So the previous schema is the one before the migrations of this version, and the
//! older binary is this one on a schema with a migration that it does not know.

use crate::support::process::{SECRET, run};
use crate::support::{App, Client, Setup};
use serde_json::{Value, json};
use std::process::Output;

/// The first migration that the previous version did not have. Set it when a version is released.
const FIRST_OF_THIS_VERSION: &str = "20261129000001";
/// A migration of a version to come.
const OF_THE_NEXT_VERSION: &str = "29990101000001";

fn migrate(database: &str, arguments: &[&str]) -> Output {
    run(&[&["migrate"], arguments].concat(), &[("DATABASE_URL", database.to_owned())])
}

/// Runs `threadline migrate`, which works. Returns what it prints.
#[track_caller]
fn migrated(database: &str, arguments: &[&str]) -> String {
    let output = migrate(database, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Starts the service, which refuses. Returns what it says.
fn refused_start(database: &str) -> String {
    let settings = [
        ("DATABASE_URL", database.to_owned()),
        ("SECRET_KEY", SECRET.to_owned()),
        ("REST_LISTEN", "127.0.0.1:0".to_owned()),
        ("RPC_LISTEN", "127.0.0.1:0".to_owned()),
    ];
    let output = run(&["serve"], &settings);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What the user has: the messages of a conversation, and tasks. Only what every version knows.
async fn data(user: &Client, session: uuid::Uuid) -> Vec<Value> {
    let history = user.history(session).await;
    let messages = history["messages"].as_array().unwrap().iter();
    let messages = messages.map(|message| json!([message["id"], message["role"], message["content"][0]["text"]]));
    let tasks = user.get("/api/v1/tasks").await;
    let tasks = tasks.data().as_array().unwrap().iter().map(|task| json!([task["id"], task["title"]]));
    messages.chain(tasks.collect::<Vec<_>>()).collect()
}

/// The conversation continues.
async fn talks(user: &Client, session: uuid::Uuid) {
    let stream = user.say(session, "Add task: Call Ada").await;
    assert_eq!(stream.terminal()["type"], "run.completed", "{}", stream.terminal());
}

/// Ends the service, and starts it again on the same database.
async fn restarted(app: App, user: &Client) -> (App, Client) {
    let again = app.again();
    drop(app);
    let app = again.start().await;
    let user = user.at(&app);
    (app, user)
}

async fn upgrade_and_rollback(setup: Setup) {
    let app = setup.start().await;
    let user = app.user().await;
    let session = user.session().await;
    talks(&user, session).await;
    let before = data(&user, session).await;
    let database = app.database.url();
    let again = app.again();
    drop(app);

    // Back to the previous schema. What the previous version knows is still there.
    let mut reverted = Vec::new();
    while reverted.last().is_none_or(|version| version != FIRST_OF_THIS_VERSION) {
        let said = migrated(&database, &["--revert-last"]);
        let version = said.trim().strip_prefix("Reverted: ").unwrap_or_else(|| panic!("{said}")).to_owned();
        assert!(*version >= *FIRST_OF_THIS_VERSION, "{FIRST_OF_THIS_VERSION} is not a migration");
        reverted.push(version);
    }
    let status = migrated(&database, &["--status"]);
    reverted.reverse();
    assert_eq!(status, format!("Pending:\n  {}\n", reverted.join("\n  ")));

    // The upgrade: the schema first, then the processes.
    assert_eq!(migrated(&database, &[]), format!("Applied:\n  {}\n", reverted.join("\n  ")));
    let app = again.start().await;
    let user = user.at(&app);
    assert_eq!(data(&user, session).await, before, "the upgrade has changed data");
    talks(&user, session).await;
    let before = data(&user, session).await;

    // The newest migration once more, with data of this version.
    let again = app.again();
    drop(app);
    let last = migrated(&database, &["--revert-last"]);
    let last = last.trim().strip_prefix("Reverted: ").unwrap();
    assert_eq!(migrated(&database, &[]), format!("Applied:\n  {last}\n"));
    let app = again.start().await;
    let user = user.at(&app);
    assert_eq!(data(&user, session).await, before, "the newest migration has changed data");

    // Rollback of the processes only: this version on the schema of the next one, which has only added something.
    app.database
        .batch(&format!(
            "ALTER TABLE threads ADD COLUMN of_the_next_version TEXT DEFAULT 'x' NOT NULL;
             CREATE TABLE of_the_next_version (id TEXT PRIMARY KEY NOT NULL);
             INSERT INTO __diesel_schema_migrations (version) VALUES ('{OF_THE_NEXT_VERSION}');"
        ))
        .await;
    let (app, user) = restarted(app, &user).await;
    assert_eq!(data(&user, session).await, before);
    talks(&user, session).await;
    let other = user.post("/api/v1/chatkit/sessions", &json!({})).await;
    assert_eq!(other.status, 200, "{}", other.text);
    let warning = app.log().into_iter().find(|line| line.to_string().contains(OF_THE_NEXT_VERSION));
    assert_eq!(warning.expect("a warning")["level"], "WARN");
    assert_eq!(migrated(&database, &[]), "The database is up to date.\n");
    let status = migrated(&database, &["--status"]);
    assert!(status.contains(&format!("Of a newer release:\n  {OF_THE_NEXT_VERSION}\n")), "{status}");
    let refused = migrate(&database, &["--revert-last"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "an unknown migration was reverted");
    assert!(said.contains(OF_THE_NEXT_VERSION) && said.contains("newer release"), "{said}");

    // A schema that this version cannot use.
    app.database.batch(&format!("INSERT INTO required_migrations (version) VALUES ('{OF_THE_NEXT_VERSION}')")).await;
    let again = app.again();
    drop(app);
    let url = database.clone();
    let said = tokio::task::spawn_blocking(move || refused_start(&url)).await.unwrap();
    assert!(said.contains(OF_THE_NEXT_VERSION) && said.contains("newer than this binary"), "{said}");

    // The binary of the next version undoes its migration.
    again
        .database
        .batch(&format!(
            "DELETE FROM required_migrations WHERE version = '{OF_THE_NEXT_VERSION}';
             DROP TABLE of_the_next_version;
             ALTER TABLE threads DROP COLUMN of_the_next_version;
             DELETE FROM __diesel_schema_migrations WHERE version = '{OF_THE_NEXT_VERSION}';"
        ))
        .await;
    let app = again.start().await;
    let user = user.at(&app);
    talks(&user, session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upgrade_and_rollback_on_sqlite() {
    upgrade_and_rollback(Setup::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upgrade_and_rollback_on_postgres() {
    let Some(setup) = Setup::postgres().await else { return };
    upgrade_and_rollback(setup).await;
}
