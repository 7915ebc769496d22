//! Files whose type the client does not know, or knows wrongly.

use super::{ATTACHMENTS, announce, attach, content_path, picture, put, say_with, upload_path};
use crate::serve_and_split;
use crate::support::Upstream;
use crate::support::client::read;
use reqwest::Method;
use serde_json::json;

serve_and_split! {
    async fn the_name_or_the_content_decides_where_the_client_does_not_know(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let [png, jpeg, webp] = [image::ImageFormat::Png, image::ImageFormat::Jpeg, image::ImageFormat::WebP]
            .map(|format| picture(format, 4, 4));
        for (name, mime_type, bytes, announced, stored) in [
            ("notes.md", "", b"# Notes".as_slice(), "text/markdown", "text/markdown"),
            ("nginx.conf", "application/octet-stream", b"listen 80;", "text/plain", "text/plain"),
            ("app.log", "", b"started", "text/plain", "text/plain"),
            ("a.csv", "application/vnd.ms-excel", "ä;b\r\n1;2".as_bytes(), "text/csv", "text/csv"),
            ("a.json", "application/octet-stream", b"{}", "application/json", "application/json"),
            ("a.ts", "video/mp2t", b"let a: number;", "text/x-typescript", "text/x-typescript"),
            ("Makefile", "", b"all:\n\ttrue", "application/octet-stream", "text/plain"),
            ("setup.sh", "application/octet-stream", b"#!/bin/sh\n", "application/octet-stream", "text/x-shellscript"),
            ("picture", "", &png, "application/octet-stream", "image/png"),
            ("paper", "binary/octet-stream", b"%PDF-1.7\n", "application/octet-stream", "application/pdf"),
            ("photo.jpg", "image/jpeg", &png, "image/jpeg", "image/png"),
            ("photo.jpg", "", &webp, "image/jpeg", "image/webp"),
            ("photo.png", "image/png", &jpeg, "image/png", "image/jpeg"),
            ("photo", "image/jpg", &jpeg, "image/jpeg", "image/jpeg"),
            ("photo", "image/pjpeg", &webp, "image/jpeg", "image/webp"),
        ] {
            let attachment = announce(&user, name, mime_type, bytes.len()).await;
            assert_eq!(attachment["mime_type"], announced, "{name}");
            let reply = put(&user, &upload_path(&attachment), bytes.to_vec()).await;
            assert_eq!(reply.data()["ready"], true, "{name}");
            let session = user.session().await;
            say_with(&user, session, "Look", &[&attachment]).await.data();
            let items = user.get(&format!("/api/v1/chatkit/sessions/{session}/items?order=asc")).await;
            assert_eq!(items.data()[0]["attachments"][0]["mime_type"], stored, "{name}: {}", items.text);
            user.delete(&format!("/api/v1/chatkit/sessions/{session}")).await.data();
        }
        // Absent or null, as some clients say that they do not know.
        for body in [json!({"name": "a.md", "size": 1}), json!({"name": "a.md", "size": 1, "mime_type": null})] {
            assert_eq!(user.post(ATTACHMENTS, &body).await.data()["mime_type"], "text/markdown");
        }
        let known = attach(&user, "a.txt", "text/plain;charset=utf-8", b"x").await;
        let content = read(user.request(Method::GET, &content_path(&known))).await;
        assert_eq!(content.status, 200);
    }

    async fn a_table_as_excel_saves_it_reaches_the_model_with_its_letters(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let bytes = b"Gr\xf6\xdfe;Preis\r\n3;5 \x80\r\n";
        let table = attach(&user, "sizes.csv", "text/csv", bytes).await;
        let session = user.session().await;
        say_with(&user, session, "Look", &[&table]).await.data();
        let sent = upstream.requests()[0]["messages"].to_string();
        assert!(sent.contains("Größe;Preis") && sent.contains("5 €"), "{sent}");
        let content = read(user.request(Method::GET, &content_path(&table))).await;
        assert_eq!(content.headers["content-type"], "text/plain", "no encoding is claimed");
        // Other text must be UTF-8.
        let text = announce(&user, "sizes.txt", "text/plain", bytes.len()).await;
        let reply = put(&user, &upload_path(&text), bytes.to_vec()).await;
        assert!(reply.fails(400, "INVALID_REQUEST").contains("UTF-8"), "{}", reply.text);
    }

    async fn what_is_not_taken_is_refused_all_the_same(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        for (name, bytes, names) in [
            ("program", b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff".as_slice(), "takes no attachments of type"),
            ("bytes", b"\x01\x02\xff\xfe\x00", "application/octet-stream"),
            ("a.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "text/csv"),
        ] {
            let mime_type = if name == "a.csv" { "application/vnd.ms-excel" } else { "" };
            let attachment = announce(&user, name, mime_type, bytes.len()).await;
            let reply = put(&user, &upload_path(&attachment), bytes.to_vec()).await;
            assert!(reply.fails(400, "INVALID_REQUEST").contains(names), "{name}: {}", reply.text);
            user.get(&content_path(&attachment)).await.fails(409, "CONFLICT");
        }
        for (name, mime_type) in [("film.mp4", ""), ("a.svg", ""), ("a.xls", "application/vnd.ms-excel")] {
            let body = json!({"name": name, "mime_type": mime_type, "size": 1});
            user.post(ATTACHMENTS, &body).await.fails(400, "INVALID_REQUEST");
        }
    }
}
