//! `/api/v1/chatkit/attachments`: files of messages.

mod bucket;
mod hostile;
mod life;
mod limits;
mod pieces;
mod sweep;
mod transcriptions;
mod types;

use crate::support::client::read;
use crate::support::{Client, Reply};
use reqwest::Method;
use serde_json::{Value, json};
use std::io::Cursor;
use uuid::Uuid;

const ATTACHMENTS: &str = "/api/v1/chatkit/attachments";

/// Announces a file. Returns the attachment.
async fn announce(user: &Client, name: &str, mime_type: &str, size: usize) -> Value {
    let reply = user.post(ATTACHMENTS, &json!({"name": name, "mime_type": mime_type, "size": size})).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    reply.data().clone()
}

/// Returns the path of a signed URL. With two processes, the core does not know the port of the gateway.
fn path_of(url: &Value) -> String {
    let url: reqwest::Url = url.as_str().expect("a URL").parse().expect("a URL");
    format!("{}?{}", url.path(), url.query().expect("a token"))
}

fn upload_path(attachment: &Value) -> String {
    let descriptor = &attachment["upload_descriptor"];
    assert_eq!(descriptor["method"], "PUT");
    path_of(&descriptor["url"])
}

/// Uploads bytes. The URL alone authorises it.
async fn put(user: &Client, path: &str, bytes: impl Into<reqwest::Body>) -> Reply {
    let mut nobody = user.clone();
    nobody.token = None;
    read(nobody.request(Method::PUT, path).header("content-type", "application/octet-stream").body(bytes)).await
}

/// Announces and uploads a file. Returns the attachment.
pub async fn attach(user: &Client, name: &str, mime_type: &str, bytes: &[u8]) -> Value {
    let attachment = announce(user, name, mime_type, bytes.len()).await;
    let reply = put(user, &upload_path(&attachment), bytes.to_vec()).await;
    assert_eq!((&reply.data()["ready"], &reply.data()["received"]), (&json!(true), &json!(bytes.len())));
    attachment
}

/// Announces a file. Returns the path of its upload, which needs no token.
pub async fn announce_path(user: &Client, name: &str, mime_type: &str, size: usize) -> String {
    upload_path(&announce(user, name, mime_type, size).await)
}

fn id_of(attachment: &Value) -> &str {
    attachment["id"].as_str().expect("an id")
}

fn content_path(attachment: &Value) -> String {
    format!("{ATTACHMENTS}/{}/content", id_of(attachment))
}

/// Returns the body of a message with attachments.
fn message_with(text: &str, attachments: &[&Value]) -> Value {
    let ids: Vec<_> = attachments.iter().map(|attachment| id_of(attachment)).collect();
    let mut message = Client::message(text);
    message["message"]["attachments"] = json!(ids);
    message
}

/// Sends a message with attachments, and waits for the whole response.
pub async fn say_with(user: &Client, session: Uuid, text: &str, attachments: &[&Value]) -> Reply {
    let request = user.request(Method::POST, &Client::runs_path(session)).json(&message_with(text, attachments));
    read(request.header("accept", "application/json")).await
}

/// Downloads a file.
async fn download(user: &Client, path: &str) -> (u16, reqwest::header::HeaderMap, Vec<u8>) {
    let response = user.request(Method::GET, path).send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, response.bytes().await.expect("a whole answer").to_vec())
}

/// Returns an encoded image.
pub fn picture(format: image::ImageFormat, width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let image = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 77]));
    image::DynamicImage::from(image).write_to(&mut bytes, format).expect("an image");
    bytes.into_inner()
}
