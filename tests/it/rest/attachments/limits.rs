//! Limits of attachments: sizes and rates.

use super::{ATTACHMENTS, announce, attach, content_path, id_of, path_of, picture, put, upload_path};
use crate::support::Reply;
use crate::support::client::read;
use crate::{everywhere, serve_and_split};
use reqwest::Method;
use serde_json::json;

fn remaining(reply: &Reply) -> &str {
    reply.header("x-ratelimit-remaining")
}

serve_and_split! {
    async fn a_file_counts_once_however_many_pieces_it_has(setup: Setup) {
        let app = setup.with("RATE_LIMIT_REQUESTS_PER_MINUTE", 6).start().await;
        let user = app.user().await;
        let length = 5 * 524_288 + 1;
        let attachment = announce(&user, "long.txt", "text/plain", length).await;
        let uploaded = put(&user, &upload_path(&attachment), vec![b'x'; length]).await;
        assert_eq!((&uploaded.data()["ready"], remaining(&uploaded)), (&json!(true), "4"));
        let downloaded = read(user.request(Method::GET, &content_path(&attachment))).await;
        assert_eq!((downloaded.text.len(), remaining(&downloaded)), (length, "3"));
        let image = attach(&user, "a.png", "image/png", &picture(image::ImageFormat::Png, 2, 2)).await;
        // Previews have an allowance of their own, which is larger: who has the URL does not use up that of the owner.
        for _ in 0..31 {
            let preview = app.anonymous().request(Method::GET, &path_of(&image["preview_url"]));
            assert_eq!(read(preview).await.status, 200);
        }
        // One more is allowed each ten seconds.
        assert!(["0", "1"].contains(&remaining(&user.get("/api/v1/auth/me").await)));
        let mut refused = None;
        for _ in 31..600 {
            let preview = read(app.anonymous().request(Method::GET, &path_of(&image["preview_url"]))).await;
            if preview.status != 200 {
                refused = Some(preview);
                break;
            }
        }
        refused.expect("a refusal").fails(429, "RATE_LIMITED");
        // Unsigned requests count for the address, whose registrations have an allowance of their own.
        let wrong = app.anonymous().get(&format!("{ATTACHMENTS}/{}/preview?token=x.y.z", id_of(&image))).await;
        wrong.fails(401, "UNAUTHORIZED");
        assert_eq!(remaining(&wrong), "5");
    }
}

everywhere! {
    async fn attachments_of_a_user_have_a_maximum_total_size(setup: Setup) {
        let app = setup.with("MAX_ATTACHMENT_BYTES_PER_USER", 100).with("MAX_ATTACHMENT_BYTES", 60).start().await;
        let (user, racer) = (app.user().await, app.user().await);
        let file = |size: u64| json!({"name": "a.txt", "mime_type": "text/plain", "size": size});
        let reply = user.post(ATTACHMENTS, &file(61)).await;
        assert!(reply.fails(413, "PAYLOAD_TOO_LARGE").contains("60"));
        let first = announce(&user, "a.txt", "text/plain", 60).await;
        let reply = user.post(ATTACHMENTS, &file(41)).await;
        assert!(reply.fails(413, "PAYLOAD_TOO_LARGE").contains("100"));
        announce(&user, "b.txt", "text/plain", 40).await;
        user.post(ATTACHMENTS, &file(1)).await.fails(413, "PAYLOAD_TOO_LARGE");
        user.delete(&format!("{ATTACHMENTS}/{}", id_of(&first))).await.data();
        announce(&user, "c.txt", "text/plain", 60).await;

        // Ten of twenty concurrent requests succeed.
        let racing = (0..20).map(|_| {
            let (racer, body) = (racer.clone(), file(10));
            tokio::spawn(async move { racer.post(ATTACHMENTS, &body).await.status })
        });
        let statuses = futures::future::join_all(racing).await;
        let made = statuses.into_iter().map(Result::unwrap).filter(|status| *status == 201).count();
        assert_eq!(made, 10);
    }
}
