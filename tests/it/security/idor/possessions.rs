//! What a user has, by the names of the params that could name it.

use crate::rest::attachments::{announce_path, attach};
use crate::support::client::read;
use crate::support::{App, Client};
use reqwest::Method;
use serde_json::{Value, json};

/// A user with one of everything. All texts of the user have its word.
pub struct Possessions {
    pub user: Client,
    pub word: &'static str,
    pub thread: String,
    pub run: String,
    pub item: String,
    pub task: String,
    pub attachment: String,
    /// Cursor of the list of threads.
    pub threads_cursor: String,
    /// A client token that may call `auth.me` alone.
    pub client_token: String,
    /// The tokens in the URLs of its files: an upload, and a preview.
    pub upload_token: String,
    pub preview_token: String,
}

/// The idempotency key that each user has used.
pub const KEY: &str = "the-same-key";

impl Possessions {
    pub async fn of_a_new_user(app: &App, word: &'static str) -> Self {
        let user = app.user().await;
        let session = user.session().await;
        let path = Client::runs_path(session);
        let request = user.request(Method::POST, &path).header("idempotency-key", KEY);
        let request = request.header("accept", "application/json").json(&Client::message(&format!("add task {word}")));
        let said = read(request).await;
        assert_eq!(said.status, 200, "{}", said.text);
        let run = said.header("x-run-id").to_owned();
        let tasks = user.get("/api/v1/tasks").await;
        let items = user.rpc_ok("items.list", json!({"thread_id": session})).await;
        let item = items["data"].as_array().unwrap().iter().find(|item| item["type"] == "assistant_message").unwrap();
        let feedback = json!({"thread_id": session, "item_ids": [item["id"]], "kind": "positive"});
        user.rpc_ok("items.feedback", feedback).await;
        // A second thread, so that the list has a next page.
        user.session().await;
        let listed = user.rpc_ok("threads.list", json!({"limit": 1})).await;
        let picture = crate::rest::attachments::picture(image::ImageFormat::Png, 8, 8);
        let attachment = attach(&user, &format!("{word}.png"), "image/png", &picture).await;
        let token = user.rpc_ok("auth.create_client_token", json!({"scopes": ["auth.me"]})).await;
        let upload = announce_path(&user, &format!("{word}.txt"), "text/plain", 1).await;
        let preview = attachment["preview_url"].as_str().unwrap_or_else(|| panic!("no preview: {attachment}"));
        Self {
            word,
            thread: session.to_string(),
            run,
            item: text(&item["id"]),
            task: text(&tasks.data()[0]["id"]),
            attachment: text(&attachment["id"]),
            threads_cursor: text(&listed["after"]),
            client_token: text(&token["token"]),
            upload_token: token_of(&upload),
            preview_token: token_of(preview),
            user,
        }
    }

    pub fn id(&self) -> String {
        self.user.user_id.unwrap().to_string()
    }

    /// Returns what a member of this name can be, if it is one that names something of a user.
    pub fn by_name(&self, name: &str) -> Option<Vec<Value>> {
        let event = format!("{}:1", self.run);
        Some(match name {
            "thread_id" | "session_id" => vec![json!(self.thread)],
            "run_id" => vec![json!(self.run)],
            "item_id" => vec![json!(self.item)],
            "item_ids" => vec![json!([self.item])],
            "task_id" => vec![json!(self.task)],
            "attachment_id" | "upload_id" => vec![json!(self.attachment)],
            // No user has a service key. Who may not use the console must not be told whether there is one.
            "key_id" => vec![json!(self.attachment)],
            "attachments" => vec![json!([self.attachment])],
            "user_id" | "user" => vec![json!(self.id())],
            "after" => [&self.item, &self.task, &self.threads_cursor, &event].map(|cursor| json!(cursor)).to_vec(),
            "last_event_id" | "Last-Event-ID" => vec![json!(event)],
            "cursor" => vec![json!(format!("items:{}:-1", self.thread))],
            "idempotency_key" | "Idempotency-Key" => vec![json!(KEY)],
            "client_token" => vec![json!(self.client_token)],
            _ => return None,
        })
    }

    /// Returns everything that is stored about the user, but for the calls that services made, and the time of now.
    pub async fn everything(&self) -> String {
        let archive = self.user.get("/api/v1/auth/export").await;
        assert_eq!(archive.status, 200, "{}", archive.text);
        let lines = archive.text.lines().filter(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            !["audit", "export", "end"].contains(&line["type"].as_str().unwrap())
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

fn token_of(url: &str) -> String {
    url.split("token=").nth(1).unwrap_or_else(|| panic!("no token: {url}")).to_owned()
}
