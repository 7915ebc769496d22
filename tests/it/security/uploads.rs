//! Uploads: a client that leaves does not get around the bound of what is decoded at a time.

use crate::rest::attachments::announce_path;
use crate::support::Setup;
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
