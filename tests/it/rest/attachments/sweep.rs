//! Unused attachments and their bytes are deleted.

use super::{ATTACHMENTS, announce, attach, content_path, download, id_of, put, say_with, upload_path};
use crate::everywhere;
use crate::support::{App, eventually};
use reqwest::Method;
use serde_json::{Value, json};

/// Moves all times back by a number of hours, and restarts the service, which sweeps at its start.
async fn hours_later(app: App, hours: i64) -> App {
    let back = match app.database.is_postgres() {
        true => format!("- interval '{hours} hours'"),
        false => format!("- {}", hours * 3_600_000_000),
    };
    let sql = format!(
        "UPDATE attachments SET created_at = created_at {back};
         UPDATE attachment_leftovers SET deleted_at = deleted_at {back}"
    );
    app.database.batch(&sql).await;
    app.crash_and_restart().await
}

everywhere! {
    async fn unused_attachments_are_deleted_after_a_day_and_bytes_soon(setup: Setup) {
        let setup = setup.with("MAX_ATTACHMENT_BYTES_PER_USER", 10);
        let app = setup.start().await;
        let user = app.user().await;
        let session = user.session().await;
        let sent = attach(&user, "sent.txt", "text/plain", b"sent").await;
        let unsent = attach(&user, "unsent.txt", "text/plain", b"not").await;
        let pending = announce(&user, "pending.txt", "text/plain", 3).await;
        assert_eq!(say_with(&user, session, "Hello", &[&sent]).await.status, 200);
        let full = json!({"name": "x.txt", "mime_type": "text/plain", "size": 1});
        user.post(ATTACHMENTS, &full).await.fails(413, "PAYLOAD_TOO_LARGE");

        let app = hours_later(app, 25).await;
        let user = user.at(&app);
        let gone = async |attachment: &Value| {
            let reply = user.request(Method::GET, &content_path(attachment)).send().await.unwrap();
            (reply.status() == 404).then_some(())
        };
        eventually("what no message has taken is deleted", || gone(&unsent)).await;
        eventually("what was never uploaded is deleted", || gone(&pending)).await;
        assert_eq!(download(&user, &content_path(&sent)).await.2, b"sent", "what was sent stays");
        // They do not count any more. Their bytes exist for a while.
        announce(&user, "y.txt", "text/plain", 6).await;
        assert_eq!(app.files.of(id_of(&unsent)), ["content"]);

        user.delete(&format!("/api/v1/chatkit/sessions/{session}")).await.data();
        user.get(&content_path(&sent)).await.fails(404, "ATTACHMENT_NOT_FOUND");
        let app = hours_later(app, 2).await;
        for attachment in [&sent, &unsent, &pending] {
            let files = app.files.clone();
            eventually("the bytes are dropped", async || files.of(id_of(attachment)).is_empty().then_some(())).await;
        }
    }

    async fn a_crash_during_an_upload_leaves_no_bytes(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let attachment = announce(&user, "long.txt", "text/plain", 1_500_000).await;
        let id = id_of(&attachment);
        let begun = user.rpc_ok("attachments.write", json!({"attachment_id": id, "data": "QUJD".repeat(50_000)})).await;
        assert_eq!(begun["received"], 150_000);
        assert_eq!(app.files.of(id).len(), 1);
        let app = app.crash_and_restart().await;
        let user = user.at(&app);
        let whole = put(&user, &upload_path(&attachment), vec![b'a'; 1_500_000]).await;
        assert_eq!(whole.data()["ready"], true);
        assert_eq!(app.files.of(id), ["content"]);
        // The previous upload cannot continue.
        let params = json!({"attachment_id": id, "upload_id": begun["upload_id"], "offset": 150_000, "data": "QUJD"});
        assert_eq!(user.rpc("attachments.write", params).await["error"]["data"]["code"], "CONFLICT");
    }
}
