//! Files and speech.

use super::both::Both;
use super::front::Front;
use crate::support::client::read;
use crate::support::{Client, Script};
use reqwest::Method;
use serde_json::{Value, json};

pub async fn run(both: &mut Both) {
    both.fronts = Default::default();
    both.announce(&json!({"name": "a.txt", "size": 5, "mime_type": "text/plain"})).await;
    both.upload("hello").await;
    let input = |front: &Front| {
        let mut input = Client::chatkit_input("Read this");
        input["attachments"] = json!([front.files[0]["id"]]);
        json!({"input": input})
    };
    both.turn("threads.create", input, &[Script::says(&["It says hello."])], &[]).await;
    let asked = both.upstream.requests();
    assert!(
        asked[asked.len() - 2..].iter().all(|request| request.to_string().contains("hello")),
        "both models read it"
    );
    both.read("Reading").await;

    both.announce(&json!({"name": "a.png", "size": 70, "mime_type": "image/png"})).await;
    let unsent = |front: &Front| json!({"attachment_id": front.files[1]["id"]});
    both.same("attachments.delete", unsent).await;
    let answers = both.ask("attachments.delete", unsent, &[]).await;
    assert_eq!(answers, [json!({"error": "ATTACHMENT_NOT_FOUND"}), json!({"error": "NotFoundError"})]);

    let speech = json!({"audio_base64": "AAAA", "mime_type": "audio/webm;codecs=opus"});
    let heard = Script::json(&json!({"text": "Buy milk"}));
    let answers = both.ask("input.transcribe", |_| speech.clone(), &[heard]).await;
    both.results_are_the_same("input.transcribe", answers);
}

impl Both {
    async fn announce(&mut self, file: &Value) {
        let files = self.same("attachments.create", |_| file.clone()).await;
        for (front, file) in self.fronts.iter_mut().zip(files) {
            front.files.push(file);
        }
    }

    /// Uploads the newest file to each server, to its URL.
    async fn upload(&mut self, content: &'static str) {
        let url = |front: &Front| front.files.last().unwrap()["upload_descriptor"]["url"].as_str().unwrap().to_owned();
        let [ours, theirs] = self.fronts.each_ref().map(url);
        let ours: reqwest::Url = ours.parse().unwrap();
        let path = format!("{}?{}", ours.path(), ours.query().unwrap());
        read(self.app.anonymous().request(Method::PUT, &path).body(content)).await.data();
        assert_eq!(self.python.ask(&json!({"upload": theirs, "content": content})), json!({"result": {}}));
    }
}
