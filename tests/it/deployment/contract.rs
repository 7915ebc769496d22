//! The OpenAPI document against the running service: schemathesis sends what the schemas allow, and what they forbid.

use super::files::{check, succeeds};
use crate::support::Setup;
use std::path::Path;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_keeps_what_the_openapi_document_says() {
    let Some(mut schemathesis) = check("schemathesis") else { return };
    let setup = Setup::new().await.with("MAX_SESSIONS_PER_USER", 0).with("MAX_STREAMS_PER_USER", 0);
    let app = setup.start().await;
    let user = app.user().await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scratch = std::env::temp_dir().join(format!("threadline-schemathesis-{}", uuid::Uuid::new_v4().simple()));
    std::fs::create_dir_all(&scratch).unwrap();
    schemathesis
        .arg("--config-file")
        .arg(root.join("tests/schemathesis/schemathesis.toml"))
        .arg("run")
        .arg(root.join("docs/openapi.json"))
        .arg(format!("--url=http://{}", app.rest))
        .arg(format!("--header=Authorization: Bearer {}", user.token.as_deref().unwrap()))
        // The same requests each time: a failure can be repeated, and a change of the code is the only cause of one.
        .args(["--seed=1", "--no-color"])
        // These would end the account or the token of the test.
        .args(
            ["change-password", "delete-account", "logout-everywhere"]
                .map(|end| format!("--exclude-path=/api/v1/auth/{end}")),
        )
        .current_dir(&scratch);
    let done = tokio::task::spawn_blocking(move || succeeds(&mut schemathesis)).await;
    std::fs::remove_dir_all(&scratch).unwrap();
    done.unwrap();
}
