//! The OpenAPI document against the running service: schemathesis sends what the schemas allow, and what they forbid.

use super::files::{check, succeeds};
use crate::support::Setup;
use crate::support::process::run;
use std::path::Path;

/// What would end the account or the token of the test, and a stream that never ends.
const LEFT_OUT: [&str; 4] =
    ["auth/change-password", "auth/delete-account", "auth/logout-everywhere", "chatkit/sessions/{session_id}/events"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_keeps_what_the_openapi_document_says() {
    let Some(mut schemathesis) = check("schemathesis") else { return };
    let setup = Setup::new().await.with("MAX_SESSIONS_PER_USER", 0).with("MAX_STREAMS_PER_USER", 0);
    let app = setup.start().await;
    let user = app.user().await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scratch = std::env::temp_dir().join(format!("threadline-schemathesis-{}", uuid::Uuid::new_v4().simple()));
    std::fs::create_dir_all(&scratch).unwrap();
    // It looks for hooks in the working directory, where it also leaves files of its own.
    for file in ["schemathesis.toml", "hooks.py"] {
        std::fs::copy(root.join("tests/schemathesis").join(file), scratch.join(file)).unwrap();
    }
    // The document of this binary; another test compares it with docs/openapi.json.
    let document = tokio::task::spawn_blocking(|| run(&["openapi"], &[])).await.unwrap();
    std::fs::write(scratch.join("openapi.json"), document.stdout).unwrap();
    schemathesis
        .args(["--config-file=schemathesis.toml", "run"])
        .arg("openapi.json")
        .arg(format!("--url=http://{}", app.rest))
        .arg(format!("--header=Authorization: Bearer {}", user.token.as_deref().unwrap()))
        // The same requests each time: a failure can be repeated, and a change of the code is the only cause of one.
        .args(["--seed=1", "--no-color"])
        .args(LEFT_OUT.map(|path| format!("--exclude-path=/api/v1/{path}")))
        .current_dir(&scratch);
    let done = tokio::task::spawn_blocking(move || succeeds(&mut schemathesis)).await;
    std::fs::remove_dir_all(&scratch).unwrap();
    done.unwrap();
}
