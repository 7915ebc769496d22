//! `attachments.write` and `attachments.read` over JSON-RPC.

use super::{announce, content_path, download, id_of, put, upload_path};
use crate::everywhere;
use crate::rpc::Wire;
use crate::support::Setup;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

const PIECE: usize = 100_000;

everywhere! {
    async fn pieces_continue_at_the_position_of_the_upload(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let attachment = announce(&user, "a.txt", "text/plain", 3 * PIECE).await;
        let id = id_of(&attachment);
        let piece = BASE64.encode(vec![b'x'; PIECE]);
        let write = async |params: serde_json::Value| {
            let mut all = json!({"attachment_id": id, "data": piece});
            all.as_object_mut().unwrap().extend(params.as_object().unwrap().clone());
            let answer = user.rpc("attachments.write", all).await;
            (answer["error"]["data"]["code"].as_str().unwrap_or("none").to_owned(), answer["result"].clone())
        };
        let code = async |params| write(params).await.0;
        assert_eq!(code(json!({"offset": PIECE})).await, "INVALID_REQUEST", "no upload is named");
        assert_eq!(code(json!({"data": "?"})).await, "INVALID_REQUEST");
        assert_eq!(code(json!({"data": "QUJD"})).await, "INVALID_REQUEST", "too small to be one of several");
        assert_eq!(code(json!({"data": ""})).await, "INVALID_REQUEST");
        assert_eq!(code(json!({"offset": -1})).await, "INVALID_REQUEST");
        assert_eq!(code(json!({"offset": u64::MAX, "upload_id": id})).await, "PAYLOAD_TOO_LARGE");
        assert_eq!(code(json!({"data": BASE64.encode(vec![b'x'; 524_289])})).await, "PAYLOAD_TOO_LARGE");
        let upload = write(json!({})).await.1["upload_id"].clone();
        for wrong in [0, PIECE - 1, PIECE + 1, 2 * PIECE] {
            assert_eq!(code(json!({"offset": wrong, "upload_id": upload})).await, "CONFLICT", "{wrong}");
        }
        assert_eq!(code(json!({"offset": PIECE, "upload_id": uuid::Uuid::now_v7()})).await, "CONFLICT");
        assert_eq!(code(json!({"offset": PIECE, "upload_id": upload})).await, "none");
        assert_eq!(code(json!({"offset": PIECE, "upload_id": upload})).await, "CONFLICT", "the same piece again");
        // One of two concurrent writes continues.
        let last = json!({"offset": 2 * PIECE, "upload_id": upload});
        let codes = futures::future::join_all((0..5).map(|_| code(last.clone()))).await;
        assert_eq!(codes.iter().filter(|code| *code == "none").count(), 1, "{codes:?}");
        // Another upload ends this one.
        assert_eq!(put(&user, &upload_path(&attachment), vec![b'y'; 3 * PIECE]).await.data()["ready"], true);
        assert_eq!(code(json!({"offset": 3 * PIECE, "upload_id": upload})).await, "CONFLICT");
        assert_eq!(code(json!({})).await, "CONFLICT", "it is uploaded");
        assert_eq!(app.files.of(id), ["content"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_sent_in_pieces_over_each_transport() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let text: String = (0..2 * PIECE + 10).map(|at| char::from(b'a' + (at % 26) as u8)).collect();
    for (name, mut wire) in Wire::all(&app, user.token.as_deref()).await {
        let attachment = announce(&user, "a.txt", "text/plain", text.len()).await;
        let id = id_of(&attachment);
        let (mut upload, mut offset) = (json!(null), 0);
        for piece in text.as_bytes().chunks(PIECE) {
            let last = offset + piece.len() == text.len();
            let mut params = json!({"attachment_id": id, "offset": offset, "data": BASE64.encode(piece), "last": last});
            if offset > 0 {
                params["upload_id"] = upload.clone();
            }
            let written = wire.ok("attachments.write", params).await;
            offset += piece.len();
            assert_eq!((&written["received"], &written["ready"]), (&json!(offset), &json!(last)), "{name}");
            upload = written["upload_id"].clone();
        }
        let mut back = Vec::new();
        while back.len() < text.len() {
            let piece = wire.ok("attachments.read", json!({"attachment_id": id, "offset": back.len()})).await;
            assert_eq!((&piece["name"], &piece["size"]), (&json!("a.txt"), &json!(text.len())));
            back.extend(BASE64.decode(piece["data"].as_str().unwrap()).unwrap());
        }
        assert!(back == text.as_bytes(), "{name}");
        let beyond = wire.ok("attachments.read", json!({"attachment_id": id, "offset": 1_u64 << 60})).await;
        assert_eq!(beyond["data"], "");
    }
}

/// A load balancer sends each piece to another replica. Both use one directory.
#[tokio::test(flavor = "multi_thread")]
async fn pieces_may_go_to_any_replica() {
    let Some(setup) = Setup::postgres().await else { return };
    let one = setup.start().await;
    let other = one.again().start().await;
    let user = one.user().await;
    let attachment = announce(&user, "a.txt", "text/plain", 3 * PIECE).await;
    let mut upload = json!(null);
    for (number, app) in [&one, &other, &one].into_iter().enumerate() {
        let mut params = json!({
            "attachment_id": id_of(&attachment),
            "offset": number * PIECE,
            "data": BASE64.encode(vec![b'x'; PIECE]),
            "last": number == 2,
        });
        if number > 0 {
            params["upload_id"] = upload.clone();
        }
        let written = user.at(app).rpc_ok("attachments.write", params).await;
        assert_eq!(written["ready"], number == 2);
        upload = written["upload_id"].clone();
    }
    for app in [&one, &other] {
        assert_eq!(download(&user.at(app), &content_path(&attachment)).await.2, vec![b'x'; 3 * PIECE]);
    }
}
