//! Files of another type than announced, and access to files of others.

use super::{
    ATTACHMENTS, announce, attach, content_path, download, id_of, path_of, picture, put, say_with, upload_path,
};
use crate::serve_and_split;
use crate::support::client::read;
use crate::support::process::SECRET;
use crate::support::token::{mint, sign};
use crate::support::{Client, eventually};
use image::ImageFormat;
use jsonwebtoken::{Algorithm, EncodingKey};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Returns the key with which the service signs its URLs.
fn key() -> String {
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::crypto::sign(b"threadline: attachments", &secret, Algorithm::HS256).unwrap()
}

/// Returns a token as in a URL.
fn signed(attachment: &Value, user: &Client, purpose: &str, seconds: i64) -> String {
    let expires_at = chrono::Utc::now().timestamp() + seconds;
    let claims = json!({"sub": attachment["id"], "usr": user.user_id, "use": purpose, "exp": expires_at});
    sign(&claims, Algorithm::HS256, &key())
}

serve_and_split! {
    async fn an_invalid_announcement_is_refused_with_the_member(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let file = |name: &str, mime_type: &str, size: Value| json!({"name": name, "mime_type": mime_type, "size": size});
        for (body, names) in [
            (json!({}), "name"),
            (file("", "text/plain", json!(1)), "name"),
            (file("   ", "text/plain", json!(1)), "name"),
            (file("..", "text/plain", json!(1)), "name"),
            (file("a/", "text/plain", json!(1)), "name"),
            (file("a\0b", "text/plain", json!(1)), "NUL"),
            (file("a\nb", "text/plain", json!(1)), "name"),
            (file(&"ä".repeat(256), "text/plain", json!(1)), "255"),
            (file("a", "text", json!(1)), "mime_type"),
            (file("a", "text/plain\r\nx: y", json!(1)), "mime_type"),
            (file("a", &format!("text/{}", "x".repeat(200)), json!(1)), "mime_type"),
            (file("a", "application/x-msdownload", json!(1)), "application/x-msdownload"),
            (file("a", "image/svg+xml", json!(1)), "image/svg+xml"),
            (file("a", "text/plain", json!(0)), "size"),
            (file("a", "text/plain", json!(-1)), "size"),
            (file("a", "text/plain", json!(1.5)), "size"),
            (file("a", "text/plain", json!("1")), "size"),
        ] {
            let reply = user.post(ATTACHMENTS, &body).await;
            let message = reply.fails(400, "INVALID_REQUEST");
            assert!(message.contains(names), "{body}: {message}");
        }
        for size in [20_971_521_u64, u64::MAX] {
            user.post(ATTACHMENTS, &file("a", "text/plain", json!(size))).await.fails(413, "PAYLOAD_TOO_LARGE");
        }
        for (name, kept) in [("../../etc/passwd", "passwd"), ("C:\\x\\y.txt", "y.txt"), ("a<b>\"c.txt", "a<b>\"c.txt")] {
            let attachment = attach(&user, name, "text/plain", b"x").await;
            assert_eq!(attachment["name"], kept);
            assert_eq!(download(&user, &content_path(&attachment)).await.0, 200);
        }
        let outside = std::fs::read_dir(app.files.path()).unwrap().count();
        assert_eq!(outside, 3, "a directory for each, by its id");
    }

    async fn a_file_of_another_type_is_refused_and_deleted(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let png = picture(ImageFormat::Png, 4, 4);
        let half = picture(ImageFormat::Jpeg, 64, 64);
        let half = &half[..half.len() / 4];
        // An image of a billion pixels in a few bytes.
        let mut bomb = png.clone();
        bomb[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
        let lies: Vec<(&str, &[u8])> = vec![
            ("image/png", b"<svg onload=alert(1)>"),
            ("image/png", b"MZ\x90\x00 a program"),
            ("image/jpeg", b"%PDF-1.7\n"),
            ("image/jpeg", half),
            ("image/png", &bomb),
            ("image/gif", b"GIF89a"),
            ("image/webp", b"RIFF\x10\0\0\0WEBPVP8 "),
            ("application/pdf", b"<html><script>alert(1)</script>"),
            ("application/pdf", b"\x89PNG\r\n\x1a\n"),
            ("text/plain", b"\xff\xfe\x00"),
            ("text/plain", b"a\0b"),
            ("text/markdown", b"half a character: \xc3"),
            ("text/csv", b"neither UTF-8 nor a table: \xc3\x1a"),
            ("application/json", &png),
        ];
        for (mime_type, bytes) in lies {
            let attachment = announce(&user, "x", mime_type, bytes.len()).await;
            let reply = put(&user, &upload_path(&attachment), bytes.to_vec()).await;
            assert_eq!(reply.status, 400, "{mime_type} {bytes:?}: {}", reply.text);
            assert_eq!(reply.body["error"]["code"], "INVALID_REQUEST");
            assert_eq!(app.files.of(id_of(&attachment)), Vec::<String>::new(), "{mime_type}");
            user.get(&content_path(&attachment)).await.fails(409, "CONFLICT");
            let session = user.session().await;
            say_with(&user, session, "Look", &[&attachment]).await.fails(409, "CONFLICT");
            user.delete(&format!("/api/v1/chatkit/sessions/{session}")).await.data();
        }
        let metrics = app.metrics().await;
        assert!(metrics.contains("threadline_attachments_total{outcome=\"refused\"} 14"), "{metrics}");
        // After a wrong file, the right one is accepted.
        let attachment = announce(&user, "x.png", "image/png", png.len()).await;
        let lie = vec![b'x'; png.len()];
        put(&user, &upload_path(&attachment), lie).await.fails(400, "INVALID_REQUEST");
        assert_eq!(put(&user, &upload_path(&attachment), png).await.data()["ready"], true);
    }

    async fn no_page_comes_out_of_it(setup: Setup) {
        let app = setup.with("ATTACHMENT_TYPES", "*").start().await;
        let user = app.user().await;
        for (mime_type, bytes) in [
            ("text/html", "<script>alert(1)</script>"),
            ("image/svg+xml", "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
            ("application/xhtml+xml", "<html xmlns='http://www.w3.org/1999/xhtml'/>"),
            ("text/javascript", "alert(1)"),
        ] {
            let attachment = attach(&user, "x.html", mime_type, bytes.as_bytes()).await;
            assert_eq!(attachment["type"], "file");
            let (status, headers, _) = download(&user, &content_path(&attachment)).await;
            let told = |name: &str| headers[name].to_str().unwrap();
            assert_eq!(status, 200);
            assert!(told("content-disposition").starts_with("attachment;"), "{mime_type}");
            assert!(["text/plain; charset=utf-8", "application/octet-stream"].contains(&told("content-type")), "{mime_type}");
            assert_eq!((told("x-content-type-options"), told("x-frame-options")), ("nosniff", "DENY"));
            let preview = format!("{ATTACHMENTS}/{}/preview", id_of(&attachment));
            user.get(&preview).await.fails(400, "INVALID_REQUEST");
        }
    }

    async fn a_signed_url_works_for_one_purpose(setup: Setup) {
        let app = setup.start().await;
        let (user, eve) = (app.user().await, app.user().await);
        let one = announce(&user, "a.png", "image/png", 3).await;
        let other = announce(&user, "b.txt", "text/plain", 3).await;
        let upload = |attachment: &Value, token: &str| format!("{}?token={token}", content_path(attachment));
        let preview = |attachment: &Value, token: &str| format!("{ATTACHMENTS}/{}/preview?token={token}", id_of(attachment));
        let good = signed(&other, &user, "upload", 60);

        let users = mint(user.user_id.unwrap(), 60);
        let sound = json!({"sub": other["id"], "usr": user.user_id, "use": "upload"});
        for (what, token) in [
            ("expired", signed(&other, &user, "upload", -1)),
            ("a user's", users),
            ("of the users' key", sign(&sound, Algorithm::HS256, SECRET)),
            ("of another algorithm", sign(&sound, Algorithm::HS512, &key())),
            ("changed", format!("{good}x")),
            ("empty", String::new()),
            ("no token", "%00".to_owned()),
            ("for something that is not", sign(&json!({"sub": other["id"], "usr": user.user_id, "use": "x"}), Algorithm::HS256, &key())),
        ] {
            let reply = put(&user, &upload(&other, &token), "abc").await;
            assert_eq!((reply.status, &reply.body["error"]["code"]), (401, &json!("UNAUTHORIZED")), "{what}: {}", reply.text);
        }
        put(&user, &upload(&other, &signed(&one, &user, "upload", 60)), "abc").await.fails(403, "FORBIDDEN");
        put(&user, &upload(&other, &signed(&other, &user, "preview", 60)), "abc").await.fails(403, "FORBIDDEN");
        app.anonymous().get(&preview(&one, &signed(&one, &user, "upload", 60))).await.fails(403, "FORBIDDEN");
        app.anonymous().get(&preview(&one, &signed(&other, &user, "preview", 60))).await.fails(403, "FORBIDDEN");
        // The id of another user does not help, even with a known key.
        put(&user, &upload(&other, &signed(&other, &eve, "upload", 60)), "abc").await.fails(403, "FORBIDDEN");
        // An additional token of the user changes nothing.
        let request = eve.request(Method::PUT, &upload(&other, &good)).body("abc");
        assert_eq!(read(request).await.data()["ready"], true);
        // Without one, the owner's token works, and no other.
        eve.get(&content_path(&other)).await.fails(403, "FORBIDDEN");
        app.anonymous().get(&content_path(&other)).await.fails(401, "UNAUTHORIZED");
        user.get(&upload(&other, &good)).await.fails(400, "INVALID_REQUEST");
        assert_eq!(download(&user, &content_path(&other)).await.2, b"abc");
        let session = eve.session().await;
        say_with(&eve, session, "Mine", &[&other]).await.fails(403, "FORBIDDEN");
        for wrong in ["x", "", "../../x", "0199e0f0-0000-7000-8000-00000000000"] {
            say_with(&eve, session, "Mine", &[&json!({"id": wrong})]).await.fails(400, "INVALID_REQUEST");
        }
        let mut many = Client::message("x");
        many["message"]["attachments"] = json!({"id": other["id"]});
        eve.post(&Client::runs_path(session), &many).await.fails(400, "INVALID_REQUEST");
        assert_eq!(eve.history(session).await["messages"], json!([]));
        // The log contains no preview URL and no token.
        let log = app.log().iter().map(ToString::to_string).collect::<String>();
        assert!(!log.contains(&good) && !log.contains(&path_of(&one["preview_url"])), "a token is in the log");
    }

    async fn an_upload_of_the_wrong_length_can_be_repeated(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let length = 600_000;
        let attachment = announce(&user, "a.txt", "text/plain", length).await;
        let path = upload_path(&attachment);
        put(&user, &path, vec![b'a'; length + 1]).await.fails(413, "PAYLOAD_TOO_LARGE");
        put(&user, &path, vec![b'a'; length - 1]).await.fails(400, "INVALID_REQUEST");
        put(&user, &path, "").await.fails(400, "INVALID_REQUEST");

        // An upload that is aborted.
        let mut stream = tokio::net::TcpStream::connect(&app.rest).await.unwrap();
        let head = format!("PUT {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'b'; 590_000]).await.unwrap();
        let files = app.files.clone();
        eventually("a piece has arrived", async || (!files.of(id_of(&attachment)).is_empty()).then_some(())).await;
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        user.get(&content_path(&attachment)).await.fails(409, "CONFLICT");

        assert_eq!(put(&user, &path, vec![b'a'; length]).await.data()["ready"], true);
        assert!(download(&user, &content_path(&attachment)).await.2.iter().all(|byte| *byte == b'a'));
        assert_eq!(app.files.of(id_of(&attachment)), ["content"]);
    }
}
