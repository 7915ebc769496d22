//! A page of another origin, like a front end that uses ChatKit: it uploads a file, sends it and reads the run id.

use super::driver::browser;
use crate::support::{Client, Setup, eventually};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Does what a front end does, and stores the result in `window.result`.
const PAGE: &str = r#"<!doctype html><title>Elsewhere</title><script type=module>
const [server, token] = JSON.parse(decodeURIComponent(location.hash.slice(1)));
const headers = {"authorization": `Bearer ${token}`, "content-type": "application/json"};
const ask = (type, params) => fetch(`${server}/chatkit`, {method: "POST", headers, body: JSON.stringify({type, params})});
const put = ({url, method, headers}, body) => new Promise((resolve, reject) => {
  const request = new XMLHttpRequest();
  request.open(method, url);
  for (const name in headers) request.setRequestHeader(name, headers[name]);
  // A listener here makes the browser send a preflight request.
  request.upload.onprogress = () => {};
  request.onload = () => resolve(request.status);
  request.onerror = () => reject(new Error("the upload was not let through"));
  request.send(body);
});
try {
  const file = new File(["Eggs and a lemon"], "list.txt", {type: "text/plain"});
  const made = await (await ask("attachments.create", {name: file.name, size: file.size, mime_type: file.type})).json();
  const uploaded = await put(made.upload_descriptor, file);
  const input = {content: [{type: "input_text", text: "Look"}], attachments: [made.id], inference_options: {}};
  const response = await ask("threads.create", {input});
  window.result = {uploaded, run: response.headers.get("x-run-id"), events: await response.text()};
} catch (error) {
  window.result = {error: String(error)};
}
</script>"#;

/// Serves the page under every path, as long as the test lives.
async fn elsewhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{PAGE}",
        PAGE.len()
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    origin
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_origin_uploads_a_file_and_reads_the_run_id() {
    let origin = elsewhere().await;
    let app = Setup::new().await.with("CORS_ORIGINS", &origin).start().await;
    let user: Client = app.user().await;
    let Some(browser) = browser().await else { return };
    let told = json!([format!("http://{}", app.rest), user.token]).to_string();
    browser.goto(&format!("{origin}/#{}", percent(&told))).await;
    let result = eventually("the page is done", || async {
        let result = browser.run("return window.result ?? null").await;
        (!result.is_null()).then_some(result)
    })
    .await;
    assert_eq!((&result["uploaded"], &result["error"]), (&json!(200), &json!(null)), "{result}");
    assert!(result["events"].as_str().unwrap().contains("Eggs and a lemon"), "{result}");
    let run = result["run"].as_str().expect("the id of the run, which only an exposed header tells");
    assert_eq!(user.run(run.parse().unwrap()).await["status"], "completed");
}

/// Text as a fragment of a URL.
fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
