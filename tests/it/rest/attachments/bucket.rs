//! An S3 bucket: clients upload their files to it directly.
//!
//! They need an S3 server: see `threadline_test_requirements`.

use super::{announce, content_path, download, id_of, path_of, picture, say_with};
use crate::support::client::read;
use crate::support::{App, Client, Setup};
use image::ImageFormat;
use serde_json::{Value, json};
use threadline_test_requirements::Requirement;
use uuid::Uuid;

/// Starts a service with a new bucket.
async fn on_a_bucket() -> Option<(App, String)> {
    let server = Requirement::S3.find()?;
    let bucket = format!("threadline-test-{}", Uuid::new_v4().simple());
    let made =
        reqwest::Client::new().put(format!("{server}/{bucket}")).send().await.expect("TEST_S3_URL names a server");
    assert!(made.status().is_success(), "{made:?}");
    let setup = Setup::new().await.with("ATTACHMENTS_URL", format!("s3://{bucket}/some/where"));
    let setup = setup.with("AWS_ENDPOINT", &server).with("AWS_ALLOW_HTTP", true).with("AWS_REGION", "us-east-1");
    let setup = setup.with("AWS_ACCESS_KEY_ID", "testing").with("AWS_SECRET_ACCESS_KEY", "testing");
    Some((setup.start().await, format!("{server}/{bucket}")))
}

/// Returns the names of the objects of a bucket.
async fn objects(bucket: &str) -> Vec<String> {
    let list = reqwest::get(format!("{bucket}?list-type=2")).await.unwrap().text().await.unwrap();
    list.split("<Key>").skip(1).map(|rest| rest.split("</Key>").next().unwrap().to_owned()).collect()
}

/// Uploads bytes as the descriptor says.
async fn upload(attachment: &Value, bytes: Vec<u8>) -> u16 {
    let descriptor = &attachment["upload_descriptor"];
    let mut request = reqwest::Client::new().put(descriptor["url"].as_str().unwrap()).body(bytes);
    for (name, value) in descriptor["headers"].as_object().unwrap() {
        request = request.header(name, value.as_str().unwrap());
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_uploaded_to_the_bucket_and_checked_when_it_is_used() {
    let Some((app, bucket)) = on_a_bucket().await else { return };
    let user = app.user().await;
    let session = user.session().await;
    let bytes = picture(ImageFormat::Png, 600, 300);
    assert_eq!(user.get("/health/all").await.body["status"], "healthy");
    let image = announce(&user, "a.png", "image/png", bytes.len()).await;
    let url = image["upload_descriptor"]["url"].as_str().unwrap();
    assert!(url.starts_with(&bucket) && url.contains("X-Amz-Signature"), "{url}");
    assert!(url.contains("content-length%3Bcontent-type%3Bhost"), "size and type are signed: {url}");
    say_with(&user, session, "Look", &[&image]).await.fails(409, "CONFLICT");
    assert_eq!(upload(&image, bytes.clone()).await, 200);

    let (status, _, preview) = download(&app.anonymous(), &path_of(&image["preview_url"])).await;
    assert_eq!((status, image::load_from_memory(&preview).unwrap().width()), (200, 512));
    assert_eq!(say_with(&user, session, "Look", &[&image]).await.status, 200);
    // A later upload changes nothing.
    assert_eq!(upload(&image, vec![b'x'; bytes.len()]).await, 200);
    assert!(download(&user, &content_path(&image)).await.2 == bytes);

    let long = vec![b'x'; 3 * 524_288 + 5];
    let text = announce(&user, "long.txt", "text/plain", long.len()).await;
    assert_eq!(upload(&text, long.clone()).await, 200);
    assert!(download(&user, &content_path(&text)).await.2 == long);
    let kept = objects(&bucket).await;
    assert!(kept.contains(&format!("some/where/{}/content", id_of(&text))), "{kept:?}");
    assert!(!kept.contains(&format!("some/where/{}/upload", id_of(&text))), "{kept:?}");
    let reply = user.delete(&format!("{}/{}", super::ATTACHMENTS, id_of(&text))).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert!(!objects(&bucket).await.iter().any(|name| name.contains(id_of(&text))));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_another_type_are_refused_and_deleted() {
    let Some((app, bucket)) = on_a_bucket().await else { return };
    let user = app.user().await;
    for (mime_type, announced, bytes) in [
        ("image/png", 5, b"hello".to_vec()),
        ("text/plain", 5, b"hello, and more".to_vec()),
        ("text/plain", 5, b"\xff\xff\xff\xff\xff".to_vec()),
    ] {
        let attachment = announce(&user, "x", mime_type, announced).await;
        assert_eq!(upload(&attachment, bytes).await, 200);
        read(user.request(reqwest::Method::GET, &content_path(&attachment))).await.fails(400, "INVALID_REQUEST");
        assert_eq!(objects(&bucket).await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_bucket_is_503() {
    let setup = Setup::new().await.with("ATTACHMENTS_URL", "s3://nowhere").with("AWS_ALLOW_HTTP", true);
    let setup = setup.with("AWS_ENDPOINT", "http://127.0.0.1:1").with("AWS_REGION", "us-east-1");
    let app = setup.with("AWS_ACCESS_KEY_ID", "k").with("AWS_SECRET_ACCESS_KEY", "hidden-key").start().await;
    let user: Client = app.user().await;
    let health = user.get("/health/all").await;
    assert_eq!((health.status, &health.body["status"]), (200, &json!("degraded")), "{}", health.text);
    assert_eq!(health.body["components"]["attachments"]["kind"], "s3");
    let attachment = announce(&user, "a.txt", "text/plain", 1).await;
    user.get(&content_path(&attachment)).await.fails(503, "SERVICE_UNAVAILABLE");
    let log = app.log().iter().map(ToString::to_string).collect::<String>();
    assert!(!log.contains("hidden-key"), "the key is in the log");
}
