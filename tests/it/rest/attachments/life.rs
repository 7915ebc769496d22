//! The life of an attachment: announced, uploaded, sent, read, deleted.

use super::{
    ATTACHMENTS, announce, attach, content_path, download, id_of, message_with, path_of, picture, put, say_with,
    upload_path,
};
use crate::everywhere;
use crate::support::{Client, Script, Setup, Upstream};
use image::ImageFormat;
use serde_json::{Value, json};

/// Returns the last user message that the model got.
fn told(upstream: &Upstream) -> Value {
    let request = upstream.requests().pop().expect("a request");
    let messages = request["messages"].as_array().unwrap();
    messages.iter().rfind(|message| message["role"] == "user").unwrap()["content"].clone()
}

everywhere! {
    async fn a_file_is_attached_to_a_message_and_the_model_reads_it(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let text = "Milk, bread and a 🥛\nand no more";

        let announced = announce(&user, "C:\\lists\\groceries.txt", "Text/Plain; charset=utf-8", text.len()).await;
        assert_eq!((&announced["type"], &announced["name"]), (&json!("file"), &json!("groceries.txt")));
        assert_eq!(announced["mime_type"], "text/plain");
        assert_eq!(announced["upload_descriptor"]["headers"], json!({"content-type": "text/plain"}));
        if !app.split {
            let url = announced["upload_descriptor"]["url"].as_str().unwrap();
            assert!(url.starts_with(&format!("http://{}{ATTACHMENTS}/", app.rest)), "{url}");
        }
        user.get(&content_path(&announced)).await.fails(409, "CONFLICT");
        say_with(&user, session, "What is missing?", &[&announced]).await.fails(409, "CONFLICT");

        let uploaded = put(&user, &upload_path(&announced), text).await;
        assert_eq!((uploaded.status, &uploaded.data()["ready"]), (200, &json!(true)));
        put(&user, &upload_path(&announced), text).await.fails(409, "CONFLICT");
        assert_eq!(app.files.of(id_of(&announced)), ["content"]);

        let answer = say_with(&user, session, "What is missing?", &[&announced]).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let words = told(&upstream);
        let words = words.as_str().expect("text alone is a string");
        assert!(words.starts_with("What is missing?") && words.contains("groceries.txt") && words.contains(text), "{words}");

        // The message has the attachment without its upload URL.
        let items = user.get(&format!("/api/v1/chatkit/sessions/{session}/items?order=asc")).await;
        let shown = &items.data()[0]["attachments"];
        assert_eq!(
            shown,
            &json!([{"type": "file", "id": announced["id"], "name": "groceries.txt", "mime_type": "text/plain",
                "thread_id": session}])
        );
        let (status, headers, bytes) = download(&user, &content_path(&announced)).await;
        assert_eq!((status, bytes.as_slice()), (200, text.as_bytes()));
        assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(headers["content-length"], text.len().to_string().as_str());
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert!(headers["content-disposition"].to_str().unwrap().starts_with("attachment; filename=\"groceries.txt\";"));
        assert!(headers["content-security-policy"].to_str().unwrap().contains("sandbox"));

        // It can be used again in its thread, and nowhere else; and it cannot be deleted alone.
        assert_eq!(say_with(&user, session, "And now?", &[&announced]).await.status, 200);
        let other = user.session().await;
        say_with(&user, other, "Here too", &[&announced]).await.fails(409, "CONFLICT");
        assert_eq!(user.history(other).await["messages"], json!([]), "nothing of it was stored");
        user.delete(&format!("{ATTACHMENTS}/{}", id_of(&announced))).await.fails(409, "CONFLICT");
        user.delete(&format!("/api/v1/chatkit/sessions/{session}")).await.data();
        user.get(&content_path(&announced)).await.fails(404, "ATTACHMENT_NOT_FOUND");
    }

    async fn an_image_has_a_preview_and_is_sent_to_the_model(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        for (mime_type, format) in [
            ("image/png", ImageFormat::Png),
            ("image/jpeg", ImageFormat::Jpeg),
            ("image/gif", ImageFormat::Gif),
            ("image/webp", ImageFormat::WebP),
        ] {
            let session = user.session().await;
            let bytes = picture(format, 700, 350);
            let image = attach(&user, "bild ü.x", mime_type, &bytes).await;
            assert_eq!(image["type"], "image");
            let preview = path_of(&image["preview_url"]);
            let nobody = app.anonymous();
            let (status, headers, small) = download(&nobody, &preview).await;
            assert_eq!((status, &headers["content-type"]), (200, &"image/jpeg".parse().unwrap()));
            assert!(headers["content-disposition"].to_str().unwrap().starts_with("inline;"));
            assert!(headers["cache-control"].to_str().unwrap().starts_with("private"));
            let small = image::load_from_memory(&small).unwrap();
            assert_eq!((small.width(), small.height()), (512, 256));

            let (status, headers, whole) = download(&user, &content_path(&image)).await;
            assert_eq!((status, &headers["content-type"], whole == bytes), (200, &mime_type.parse().unwrap(), true));
            let name = headers["content-disposition"].to_str().unwrap();
            assert!(name.contains("filename*=UTF-8''bild%20%C3%BC.x"), "{name}");

            assert_eq!(say_with(&user, session, "", &[&image]).await.status, 200, "words are not needed");
            assert_eq!(user.history(session).await["title"], "bild ü.x");
            let parts = told(&upstream);
            assert_eq!((&parts[0]["type"], &parts[1]["type"]), (&json!("text"), &json!("image_url")));
            let url = parts[1]["image_url"]["url"].as_str().unwrap();
            assert!(url.starts_with(&format!("data:{mime_type};base64,")), "{:.60}", url);
            let items = user.get(&format!("/api/v1/chatkit/sessions/{session}/items?order=asc")).await;
            let shown = &items.data()[0]["attachments"][0];
            assert_eq!(download(&nobody, &path_of(&shown["preview_url"])).await.0, 200);
            assert!(shown.get("upload_descriptor").is_none(), "{shown}");
            user.delete(&format!("/api/v1/chatkit/sessions/{session}")).await.data();
            nobody.get(&preview).await.fails(404, "ATTACHMENT_NOT_FOUND");
        }
    }

    async fn a_large_file_is_uploaded_and_downloaded_in_pieces(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        // A file of more than three pieces, cut inside of characters, and one of exactly two pieces.
        for length in [3 * 524_288 + 77, 2 * 524_288] {
            let text: String = "äöü€".chars().cycle().take(length).collect();
            let bytes = &text.as_bytes()[..text.floor_char_boundary(length)];
            let attachment = attach(&user, "long.md", "text/markdown", bytes).await;
            assert_eq!(app.files.of(id_of(&attachment)), ["content"], "no piece is left");
            let (status, headers, back) = download(&user, &content_path(&attachment)).await;
            assert_eq!((status, back == bytes), (200, true));
            assert_eq!(headers["content-length"], bytes.len().to_string().as_str());
            let head = user.request(reqwest::Method::HEAD, &content_path(&attachment)).send().await.unwrap();
            assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &headers["content-length"]));
        }
    }

    async fn an_unused_attachment_can_be_deleted(setup: Setup) {
        let app = setup.start().await;
        let (user, other) = (app.user().await, app.user().await);
        let attachment = attach(&user, "a.json", "application/json", b"{}").await;
        let path = format!("{ATTACHMENTS}/{}", id_of(&attachment));
        other.delete(&path).await.fails(403, "FORBIDDEN");
        let deleted = user.delete(&path).await;
        assert_eq!(deleted.data(), &json!({"id": attachment["id"], "deleted": true}));
        assert_eq!(app.files.of(id_of(&attachment)), Vec::<String>::new());
        user.delete(&path).await.fails(404, "ATTACHMENT_NOT_FOUND");
        user.get(&content_path(&attachment)).await.fails(404, "ATTACHMENT_NOT_FOUND");
        put(&user, &upload_path(&attachment), "{}").await.fails(404, "ATTACHMENT_NOT_FOUND");
        let session = user.session().await;
        say_with(&user, session, "Hello", &[&attachment]).await.fails(404, "ATTACHMENT_NOT_FOUND");
    }

    async fn a_conversation_can_begin_with_an_attachment(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let attachment = attach(&user, "notes.txt", "text/plain", b"remember the milk").await;
        let input = json!({
            "content": [{"type": "input_text", "text": "What do you say to this?"}],
            "attachments": [attachment["id"]],
        });
        let created = user.rpc_ok("threads.create", json!({"input": input, "idempotency_key": "k"})).await;
        let run = created["run"]["id"].as_str().unwrap().parse().unwrap();
        let answer = user.follow(run, None).await.unwrap().finish().await;
        // The demo model reads the text of a file too.
        let text = answer.text();
        assert!(text.contains("notes.txt") && text.contains("remember the milk"), "{text}");
        let again = user.rpc_ok("threads.create", json!({"input": input, "idempotency_key": "k"})).await;
        assert_eq!(again["thread"]["id"], created["thread"]["id"], "the same submission, told again");
        let other = user.rpc("threads.create", json!({"input": input})).await;
        assert_eq!(other["error"]["data"]["code"], "CONFLICT");
        assert_eq!(user.get("/api/v1/chatkit/sessions").await.body["meta"]["total"], 1, "nothing of it was stored");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_has_a_maximum_size() {
    let upstream = Upstream::start().await;
    upstream.answer_with(|_| Script::says(&["Seen."]));
    let app = Setup::new().await.upstream(&upstream).start().await;
    let user = app.user().await;
    let session = user.session().await;
    let long = attach(&user, "long.txt", "text/plain", &b"abcdefgh ".repeat(10_000)).await;
    let document = attach(&user, "a.pdf", "application/pdf", b"%PDF-1.7\n...").await;
    let images = [attach(&user, "1.png", "image/png", &picture(ImageFormat::Png, 3, 3)).await];
    assert_eq!(say_with(&user, session, "One", &[&long, &document, &images[0]]).await.status, 200);
    let parts = told(&upstream);
    let text = parts[0]["text"].as_str().unwrap();
    assert!(text.contains("cut off") && text.len() < 40_000, "{}", text.len());
    assert!(text.contains("a.pdf") && text.contains("not shown"), "what is neither text nor image is named");
    // Of many images, the model gets the newest.
    for round in 0..3 {
        let mut more = Vec::new();
        for number in 0..3 {
            let name = format!("{round}-{number}.png");
            more.push(attach(&user, &name, "image/png", &picture(ImageFormat::Png, 2, 2)).await);
        }
        assert_eq!(say_with(&user, session, "More", &more.iter().collect::<Vec<_>>()).await.status, 200);
    }
    let request = upstream.requests().pop().unwrap().to_string();
    assert_eq!(request.matches("\"image_url\":{").count(), 8);
    assert!(request.contains("Attached file \\\"1.png\\\""), "the oldest is named");
    let reply = user.post(&Client::runs_path(session), &message_with("x", &[&long; 11])).await;
    assert!(reply.fails(400, "INVALID_REQUEST").contains("10"));
    let reply = user.post(&Client::runs_path(session), &message_with("x", &[&long, &long])).await;
    assert!(reply.fails(400, "INVALID_REQUEST").contains("more than once"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_storage_is_503_and_blocks_nothing_else() {
    let setup = Setup::new().await;
    // A file where the directory should be.
    let in_the_way = setup.files.path().to_owned();
    std::fs::write(&in_the_way, "in the way").unwrap();
    let upstream = Upstream::start().await;
    let app = setup.upstream(&upstream).start().await;
    let user = app.user().await;
    let session = user.session().await;
    let attachment = announce(&user, "a.txt", "text/plain", 5).await;
    put(&user, &upload_path(&attachment), "hello").await.fails(503, "SERVICE_UNAVAILABLE");
    assert_eq!(user.say(session, "Hello").await.terminal()["type"], "run.completed");
    std::fs::remove_file(&in_the_way).unwrap();
    assert_eq!(
        put(&user, &upload_path(&attachment), "hello").await.data()["ready"],
        true,
        "it is back, and used again"
    );

    // A message whose file is missing is answered.
    assert_eq!(say_with(&user, session, "Look", &[&attachment]).await.status, 200);
    std::fs::remove_dir_all(&in_the_way).unwrap();
    assert_eq!(user.say(session, "And now?").await.terminal()["type"], "run.completed");
    let request = upstream.requests().pop().unwrap().to_string();
    assert!(request.contains("a.txt") && request.contains("not shown"), "{request}");
}
