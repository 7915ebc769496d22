//! Uploads: a client that leaves does not get around the bound of what is decoded at a time. URLs of previews expire.

use crate::rest::attachments::{announce_path, attach, say_with};
use crate::serve_and_split;
use crate::support::Setup;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::io::Cursor;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// A large image that takes a while to decode, and few bytes.
fn image() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image::RgbImage::new(6000, 6000).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn images_of_clients_that_left_count() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let image = image();
    let mut paths = Vec::new();
    for number in 0..8 {
        paths.push(announce_path(&user, &format!("{number}.png"), "image/png", image.len()).await);
    }
    for path in paths {
        let head = format!("PUT {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", image.len());
        let mut socket = TcpStream::connect(&app.rest).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(&image).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(socket);
        let metrics = app.metrics().await;
        let line = metrics.lines().find_map(|line| line.strip_prefix("threadline_image_decodes "));
        let decodes: f64 = line.map_or(0.0, |count| count.parse().unwrap());
        assert!(decodes <= 2.0, "{decodes} images are decoded at a time");
    }
}

/// When the URL of a preview expires: Unix time in seconds.
fn expiry(url: &Value) -> i64 {
    let token = url.as_str().unwrap().rsplit_once("token=").unwrap().1;
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()["exp"].as_i64().expect("an expiry")
}

serve_and_split! {
    async fn urls_of_previews_expire_and_are_signed_anew(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let session = user.session().await;
        let mut bytes = Cursor::new(Vec::new());
        image::RgbImage::new(2, 2).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        let image = attach(&user, "a.png", "image/png", &bytes.into_inner()).await;
        assert_eq!(say_with(&user, session, "Look", &[&image]).await.status, 200);
        let now = chrono::Utc::now().timestamp();
        assert!((now + 3600..now + 26 * 3600).contains(&expiry(&image["preview_url"])));
        // What is stored has expired, as after a day.
        let old = image["preview_url"].as_str().unwrap().rsplit_once("token=").unwrap().1.to_owned();
        let claims = json!({"sub": image["id"], "usr": user.user_id, "use": "preview", "exp": now - 10});
        let expired = crate::support::token::capability(&claims);
        app.database.batch(&format!("UPDATE items SET body = REPLACE(body, '{old}', '{expired}')")).await;
        let read = user.get(&format!("/api/v1/chatkit/sessions/{session}/items?order=asc")).await;
        let shown = read.data()[0]["attachments"][0]["preview_url"].clone();
        assert!(expiry(&shown) > now + 3600, "{shown}");
        let path = |token: &str| {
            let url: reqwest::Url = shown.as_str().unwrap().parse().unwrap();
            format!("{}?token={token}", url.path())
        };
        let fresh = shown.as_str().unwrap().rsplit_once("token=").unwrap().1.to_owned();
        assert_eq!(app.anonymous().get(&path(&fresh)).await.status, 200);
        app.anonymous().get(&path(&expired)).await.fails(401, "UNAUTHORIZED");
        let chatkit = user.chatkit("threads.get_by_id", json!({"thread_id": session})).await;
        assert!(!chatkit.text.contains(&expired), "{}", chatkit.text);
    }
}
