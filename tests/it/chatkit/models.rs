//! Our types against the models of ChatKit's package for Python, both ways.

use super::citations::citation;
use super::python;
use crate::support::{Client, Script, Setup, Sse, Upstream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use threadline_schema::chatkit::widget::{WidgetComponent, WidgetRoot};
use threadline_schema::chatkit::{
    Action, Annotation, Attachment, ItemUpdate, Source, StreamEvent, StructuredInput, StructuredInputSubmission,
    Thread, ThreadItem, UserContent, UserMessageInput, WorkflowTask,
};
use threadline_tools::widgets;

/// Values of each model. Odd ones have a member that no model knows.
const COUNT: usize = 40;

/// Reads a value as ours and writes it back.
fn back<T: DeserializeOwned + Serialize>(value: &Value) -> Result<Value, String> {
    let read: T = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
    serde_json::to_value(read).map_err(|error| error.to_string())
}

/// As [`back`], for a type that is not only kept as JSON.
fn typed<T: DeserializeOwned + Serialize>(value: &Value, is_typed: fn(&T) -> bool) -> Result<Value, String> {
    let read: T = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
    if is_typed(&read) { serde_json::to_value(read).map_err(|error| error.to_string()) } else { Err("untyped".into()) }
}

fn read_as(kind: &str, must_be_typed: bool, value: &Value) -> Result<Value, String> {
    match kind {
        "event" => back::<StreamEvent<Thread>>(value),
        "update" => back::<ItemUpdate>(value),
        "item" => back::<ThreadItem>(value),
        "task" => back::<WorkflowTask>(value),
        "source" => back::<Source>(value),
        "attachment" => back::<Attachment>(value),
        "content" => back::<UserContent>(value),
        "structured_input" => back::<StructuredInput>(value),
        "component" if must_be_typed => typed(value, |read| !matches!(read, WidgetComponent::Dynamic(_))),
        "component" => back::<WidgetComponent>(value),
        "root" if must_be_typed => typed(value, |read| !matches!(read, WidgetRoot::Dynamic(_))),
        "root" => back::<WidgetRoot>(value),
        "thread" => back::<Thread>(value),
        "annotation" => back::<Annotation>(value),
        "submission" => back::<StructuredInputSubmission>(value),
        "action" => back::<Action>(value),
        "message_input" => back::<UserMessageInput>(value),
        other => Err(format!("nothing is read as {other}")),
    }
}

#[tokio::test]
async fn values_of_the_package_are_read_and_written_back() {
    let seed: u32 = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let Some(script) = python::script("models.py", &["generate", &seed.to_string(), &COUNT.to_string()]) else {
        return;
    };
    let mut models: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for line in script.finish().await {
        let line: Value = serde_json::from_str(&line).unwrap();
        let (model, kind) = (line["model"].as_str().unwrap(), line["as"].as_str().unwrap());
        *models.entry((kind.to_owned(), model.to_owned())).or_default() += 1;
        match read_as(kind, line["typed"] == true, &line["value"]) {
            Ok(written) if written == line["value"] => {}
            other => wrong.push(format!("{model}: {}\n  became {other:?}", line["value"])),
        }
    }
    assert!(wrong.is_empty(), "seed {seed}, {} are wrong:\n{}", wrong.len(), wrong[..wrong.len().min(5)].join("\n"));
    let of = |kind: &str| models.keys().filter(|(as_kind, _)| as_kind == kind).count();
    assert_eq!(
        [of("event"), of("update"), of("item"), of("task"), of("component"), of("root")],
        [12, 10, 11, 5, 25, 4]
    );
    assert!(models.values().all(|count| *count == COUNT), "{models:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_of_a_widget_equal_those_of_the_package() {
    const WIDGETS: usize = 400;
    let seed: u32 = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let Some(script) = python::script("models.py", &["changes", &seed.to_string(), &WIDGETS.to_string()]) else {
        return;
    };
    let mut fold = python::script("models.py", &["fold"]).unwrap();
    let (mut wrong, mut kinds) = (Vec::new(), BTreeMap::<String, usize>::new());
    for line in script.finish().await {
        let mut case: Value = serde_json::from_str(&line).unwrap();
        let root = |side: &str| serde_json::from_value::<WidgetRoot>(case[side].clone()).unwrap();
        case["updates"] = serde_json::to_value(widgets::diff(&root("before"), &root("after"))).unwrap();
        let kind = match case["updates"].as_array().unwrap().as_slice() {
            [] => "nothing",
            [update, ..] => update["type"].as_str().unwrap(),
        };
        *kinds.entry(kind.to_owned()).or_default() += 1;
        let problems: Vec<String> = serde_json::from_value(fold.ask(&case)).unwrap();
        wrong.extend((!problems.is_empty()).then(|| format!("{case}\n  {}", problems.join("\n  "))));
    }
    assert!(fold.finish().await.is_empty());
    assert!(wrong.is_empty(), "seed {seed}, {} are wrong:\n{}", wrong.len(), wrong[..wrong.len().min(5)].join("\n"));
    assert!(kinds.len() == 4 && kinds.values().all(|count| *count > 5), "{kinds:?}");
}

/// Returns the events of a request.
async fn events(user: &Client, kind: &str, params: Value) -> Vec<Value> {
    let stream: Sse = user.chatkit_stream(kind, params).await.unwrap().finish().await;
    stream.events.into_iter().map(|(_, event)| event).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_package_reads_what_we_send_without_a_loss() {
    let Some(mut script) = python::script("models.py", &["check"]) else { return };
    let upstream = Upstream::start().await;
    upstream
        .queue(Script::calls(&[("add_task", json!({"title": "Milk"})), ("no_such_tool", json!({}))]))
        .queue(
            Script::stream()
                .words(&["I", " have", " \"noted\"\nit. 🥛"])
                .event(json!({"annotations": [citation("https://milk.example/", "Milk", 6)]}), None)
                .done("stop"),
        )
        .queue(Script::says(&["Yes."]))
        .queue(Script::stream().words(&["Half"]));
    let app = Setup::new().await.upstream(&upstream).with("AGENT_MAX_ATTEMPTS", 1).start().await;
    let user = app.user().await;
    let mut all = events(&user, "threads.create", json!({"input": Client::chatkit_input("Milk, please")})).await;
    let thread = all[0]["thread"]["id"].clone();
    let tag =
        json!({"type": "input_tag", "id": "t1", "text": "@Ada", "data": {"x": [1]}, "group": "g", "interactive": true});
    let text = json!({"type": "input_text", "text": "Sure?", "x_new": 1});
    let input = json!({"content": [text, tag], "attachments": [], "quoted_text": "Milk",
                       "inference_options": {"tool_choice": null, "model": null}});
    all.extend(events(&user, "threads.add_user_message", json!({"thread_id": thread, "input": input})).await);
    let input = Client::chatkit_input("More");
    all.extend(events(&user, "threads.add_user_message", json!({"thread_id": thread, "input": input})).await);
    assert_eq!(all.last().unwrap()["type"], "error");
    let cites = |event: &&Value| event["update"]["type"] == "assistant_message.content_part.annotation_added";
    assert_eq!(all.iter().filter(cites).count(), 1);
    let mut wrong = Vec::new();
    for event in &all {
        wrong.extend(script.wrong("event", event));
    }
    // What the page shows when it is loaded again.
    for (kind, params, reads) in [
        ("items.list", json!({"thread_id": thread}), "items"),
        ("threads.get_by_id", json!({"thread_id": thread}), "thread"),
        ("threads.update", json!({"thread_id": thread, "title": "Milk"}), "thread"),
        ("threads.list", json!({}), "threads"),
    ] {
        wrong.extend(script.wrong(reads, &user.chatkit(kind, params).await.body));
    }
    assert!(script.finish().await.is_empty());
    // Further members of a message are stored for the front end; the package drops them.
    let (forgotten, lost): (Vec<_>, Vec<_>) =
        wrong.into_iter().partition(|line| line.ends_with("content[0].x_new is lost"));
    assert_eq!(lost, Vec::<String>::new());
    assert_eq!(forgotten.len(), 3, "in the event, in the list and in the thread: {forgotten:?}");
}
