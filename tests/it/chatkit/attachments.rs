//! Files and speech, as the front ends ask for them.

use crate::serve_and_split;
use crate::support::client::read;
use crate::support::{Client, Script, Upstream};
use reqwest::Method;
use serde_json::json;

serve_and_split! {
    async fn a_front_end_uploads_a_file_and_a_recording(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup.upstream(&upstream).with("TRANSCRIPTION_MODEL", "whisper").start().await;
        let user = app.user().await;
        let ask = async |kind, params| read(user.chatkit_request(kind, params)).await;
        let file = json!({"name": "a.txt", "size": 5, "mime_type": "text/plain"});
        let created = ask("attachments.create", file.clone()).await;
        assert_eq!(created.status, 200, "{}", created.text);
        let attachment = &created.body;
        assert_eq!((&attachment["type"], &attachment["name"]), (&json!("file"), &json!("a.txt")));
        let url: reqwest::Url = attachment["upload_descriptor"]["url"].as_str().unwrap().parse().unwrap();
        let path = format!("{}?{}", url.path(), url.query().unwrap());
        let uploaded = read(app.anonymous().request(Method::PUT, &path).body("hello")).await;
        assert_eq!(uploaded.data()["ready"], true);

        let mut input = Client::chatkit_input("Read this");
        input["attachments"] = json!([attachment["id"]]);
        let stream = user.chatkit_stream("threads.create", json!({"input": input})).await.unwrap().finish().await;
        let message = stream.events.iter().find(|(_, event)| event["item"]["type"] == "user_message").unwrap();
        let shown = &message.1["item"]["attachments"][0];
        assert_eq!((&shown["id"], shown.get("upload_descriptor")), (&attachment["id"], None));
        assert!(upstream.requests()[0].to_string().contains("hello"), "the model reads it");

        let unsent = ask("attachments.create", file).await.body;
        let deleted = ask("attachments.delete", json!({"attachment_id": unsent["id"]})).await;
        assert_eq!((deleted.status, deleted.body), (200, json!({})));
        ask("attachments.delete", json!({"attachment_id": unsent["id"]})).await.fails(404, "ATTACHMENT_NOT_FOUND");

        upstream.queue(Script::json(&json!({"text": "Buy milk"})));
        let speech = json!({"audio_base64": "AAAA", "mime_type": "audio/webm;codecs=opus"});
        assert_eq!(ask("input.transcribe", speech).await.body, json!({"text": "Buy milk"}));
    }
}
