//! A user is erased while it and others are busy. Nothing of it is left, in no table and in no file; others lose
//! nothing.

use crate::in_variants;
use crate::rest::registration::command;
use crate::support::client::{PASSWORD, try_read};
use crate::support::{App, Client, Reply, Script, Setup, Upstream};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use uuid::Uuid;

/// A word that is in everything that the erased user writes, and that the model answers it with.
const WORD: &str = "xylophone";
/// The same for the other user.
const OTHER: &str = "trumpet";

/// What the service has acknowledged.
#[derive(Default)]
struct Acknowledged {
    messages: Vec<(Uuid, String)>,
    tasks: Vec<String>,
    files: Vec<(String, String)>,
    rated: Vec<(Uuid, String)>,
}

/// Sends a request. Returns its answer; `None` if the user has no access any more.
async fn ask(request: reqwest::RequestBuilder) -> Option<Reply> {
    let reply = try_read(request).await.expect("an answer");
    assert!(reply.status < 500, "{}", reply.text);
    (reply.status != 401).then_some(reply)
}

/// Does what users do, again and again, until it is told to stop or has no access.
async fn be_busy(user: Client, word: &'static str, number: usize, is_over: Arc<AtomicBool>) -> Acknowledged {
    let mut done = Acknowledged::default();
    let session = user.session().await;
    for round in 0.. {
        if is_over.load(Ordering::Relaxed) || round_of(&user, word, session, number, round, &mut done).await.is_none() {
            break;
        }
    }
    done
}

async fn round_of(
    user: &Client,
    word: &str,
    session: Uuid,
    number: usize,
    round: usize,
    done: &mut Acknowledged,
) -> Option<()> {
    let text = format!("{word} {number}.{round}");
    let announced = json!({"name": format!("{text}.txt"), "mime_type": "text/plain", "size": text.len()});
    let announced = ask(user.request(Method::POST, "/api/v1/chatkit/attachments").json(&announced)).await?;
    let mut attachments = Vec::new();
    if announced.status == 201 {
        let id = announced.data()["id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/chatkit/attachments/{id}/content");
        let request = user.request(Method::PUT, &path).header("content-type", "application/octet-stream");
        if ask(request.body(text.clone())).await?.status == 200 {
            done.files.push((id.clone(), text.clone()));
            attachments.push(id);
        }
    }
    let mut message = Client::message(&text);
    message["message"]["attachments"] = json!(attachments);
    let request = user.request(Method::POST, &Client::runs_path(session)).header("idempotency-key", &text);
    let answer = ask(request.header("accept", "application/json").json(&message)).await?;
    if answer.status == 200 {
        done.messages.push((session, text.clone()));
        let item = answer.data()["id"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned();
        let rating = json!({"item_ids": [item], "kind": "positive"});
        let path = format!("/api/v1/chatkit/sessions/{session}/feedback");
        if ask(user.request(Method::POST, &path).json(&rating)).await?.status < 300 {
            done.rated.push((session, item));
        }
    }
    let task = json!({"title": text, "description": text, "tags": [word]});
    if ask(user.request(Method::POST, "/api/v1/tasks").json(&task)).await?.status == 201 {
        done.tasks.push(text.clone());
    }
    let rename = json!({"title": text});
    ask(user.request(Method::PATCH, &format!("/api/v1/chatkit/sessions/{session}")).json(&rename)).await?;
    Some(())
}

/// Uploads a file that comes so slowly that its user is erased meanwhile.
async fn upload_slowly(user: &Client) {
    let piece = format!("{WORD} {}", "0123456789".repeat(60_000));
    let size = 2 * piece.len();
    let announced = json!({"name": format!("{WORD}.txt"), "mime_type": "text/plain", "size": size});
    let announced = user.post("/api/v1/chatkit/attachments", &announced).await;
    let id = announced.data()["id"].as_str().unwrap().to_owned();
    let pieces = futures::stream::unfold(0, move |sent| {
        let piece = piece.clone();
        async move {
            if sent == 1 {
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
            (sent < 2).then(|| (Ok::<_, std::io::Error>(piece), sent + 1))
        }
    });
    let path = format!("/api/v1/chatkit/attachments/{id}/content");
    let request = user.request(Method::PUT, &path).header("content-type", "application/octet-stream");
    let request = request.header("content-length", size);
    let reply = try_read(request.body(reqwest::Body::wrap_stream(Box::pin(pieces)))).await;
    if let Ok(reply) = reply {
        assert!(reply.status >= 400, "a file of nobody was stored: {}", reply.text);
    }
}

/// Returns the files below a directory.
fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Returns where one of these texts is: columns of tables, and files.
async fn traces(app: &App, texts: &[String]) -> Vec<String> {
    let mut found = app.database.columns_with(texts).await;
    // Ids for those who have something left to do: who has to forget the user, and whose bytes to look for once more.
    // They are deleted after some minutes.
    found.retain(|column| column != "access_changes.subject_id" && column != "attachment_leftovers.attachment_id");
    for path in [app.database.files(), files(app.files.path())].concat() {
        // A file may go meanwhile.
        let bytes = std::fs::read(&path).unwrap_or_default();
        for text in texts {
            let name = path.display().to_string();
            let is_there = bytes.windows(text.len()).any(|bytes| bytes == text.as_bytes()) || name.contains(text);
            found.extend(is_there.then(|| format!("{text} in {name}")));
        }
    }
    found
}

in_variants! {
    [
        serve_sqlite { Some(Setup::new().await) }
        split_postgres { Setup::postgres().await.map(Setup::split) }
    ]
    async fn a_user_is_erased_under_load(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.answer_with(|request| {
            let word = if request["messages"].to_string().contains(WORD) { WORD } else { OTHER };
            Script::stream().words(&[word]).wait(Duration::from_millis(30)).words(&[" it", " is"]).done("stop")
        });
        let setup = setup.upstream(&upstream).with("MAX_SESSIONS_PER_USER", 0).with("DATABASE_POOL_SIZE", 10);
        let app = setup.start().await;
        let (user, other) = (app.user().await, app.user().await);
        let user_id = user.user_id.unwrap().to_string();
        // What names the user, and is not its own.
        command(&app, &["invite", "create", "--email", &user.email]).await;
        let users = format!("{user_id},{}", other.user_id.unwrap());
        command(&app, &["key", "create", "shop", "--methods", "*", "--users", &users]).await;
        let wrong = json!({"email": user.email, "password": "not the password"});
        app.anonymous().post("/api/v1/auth/login", &wrong).await.fails(401, "INVALID_CREDENTIALS");

        let is_over = Arc::new(AtomicBool::new(false));
        let busy = |user: &Client, word, number| tokio::spawn(be_busy(user.clone(), word, number, is_over.clone()));
        let of_user: Vec<_> = (0..3).map(|number| busy(&user, WORD, number)).collect();
        let of_other: Vec<_> = (0..3).map(|number| busy(&other, OTHER, number)).collect();
        let slow = tokio::spawn({
            let user = user.clone();
            async move { upload_slowly(&user).await }
        });
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert!(!traces(&app, &[WORD.to_owned()]).await.is_empty(), "the search finds what is there");
        let erased = user.post("/api/v1/auth/delete-account", &json!({"password": PASSWORD})).await;
        assert_eq!(erased.status, 202, "{}", erased.text);

        let theirs: Vec<Acknowledged> = join_all(of_user).await.into_iter().map(Result::unwrap).collect();
        assert!(theirs.iter().map(|done| done.messages.len()).sum::<usize>() > 2, "there was no load");
        slow.await.unwrap();
        let mut texts = vec![WORD.to_owned(), user_id, user.email.clone()];
        let files = theirs.iter().flat_map(|done| &done.files).map(|(id, _)| id.clone());
        let sessions: BTreeSet<_> = theirs.iter().flat_map(|done| &done.messages).map(|(id, _)| id.to_string()).collect();
        // Not each of the files, of which there can be many.
        texts.extend(files.take(6).chain(sessions));
        let mut left = Vec::new();
        for _ in 0..40 {
            left = traces(&app, &texts).await;
            if left.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        assert!(left.is_empty(), "{left:#?}");
        is_over.store(true, Ordering::Relaxed);
        let kept: Vec<Acknowledged> = join_all(of_other).await.into_iter().map(Result::unwrap).collect();
        assert!(kept.iter().all(|done| done.messages.len() > 2), "the others could not go on");
        // Nothing comes back, and what was under way has ended.
        left = traces(&app, &texts).await;
        assert!(left.is_empty(), "{left:#?}");
        user.get("/api/v1/auth/me").await.fails(401, "UNAUTHORIZED");
        lost_nothing(&other, &kept).await;
        let of_other = app.database.columns_with(&[other.user_id.unwrap().to_string()]).await;
        assert!(of_other.contains(&"service_keys.users".to_owned()), "the key is for the other still: {of_other:?}");
        crate::rpc::nobody_panicked(&app);
    }
}

/// Checks that a user has everything that was acknowledged.
async fn lost_nothing(user: &Client, kept: &[Acknowledged]) {
    let archive = user.get("/api/v1/auth/export").await;
    let lines: Vec<Value> = archive.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).map(ToString::to_string).collect::<Vec<_>>();
    let (items, tasks, feedback) = (of("item"), of("task"), of("feedback"));
    for done in kept {
        for (session, text) in &done.messages {
            let is_there = |item: &String| item.contains(&format!("\"{text}\"")) && item.contains(&session.to_string());
            assert!(items.iter().any(is_there), "{text} is lost");
        }
        for title in &done.tasks {
            assert!(tasks.iter().any(|task| task.contains(&format!("\"{title}\""))), "{title} is lost");
        }
        for (_, item) in &done.rated {
            assert!(feedback.iter().any(|rating| rating.contains(item)), "the rating of {item} is lost");
        }
        for (id, text) in &done.files {
            let path = format!("/api/v1/chatkit/attachments/{id}/content");
            assert_eq!(&user.get(&path).await.text, text, "{id}");
        }
    }
}
