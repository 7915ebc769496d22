//! `threadline doctor --model`

use crate::support::process::run;
use crate::support::{Script, Upstream};
use serde_json::{Value, json};

/// Runs the doctor. Returns its exit code and what it prints.
async fn doctor(arguments: &'static [&'static str], settings: Vec<(&'static str, String)>) -> (Option<i32>, String) {
    let output = tokio::task::spawn_blocking(move || run(arguments, &settings)).await.unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

fn at(upstream: &Upstream) -> Vec<(&'static str, String)> {
    vec![
        ("OPENROUTER_BASE_URL", upstream.base_url()),
        ("OPENROUTER_MODEL", "test-model".to_owned()),
        ("OPENROUTER_API_KEY", "sk-hunter2".to_owned()),
        ("AGENT_MAX_ATTEMPTS", "1".to_owned()),
    ]
}

/// A model with tools, that sees.
fn answer(request: &Value) -> Script {
    let messages = request["messages"].as_array().unwrap();
    let question = messages.last().unwrap().to_string();
    let cities: Vec<_> = ["Paris", "Rome"].into_iter().filter(|city| question.contains(city)).collect();
    if request.get("tools").is_none() {
        let words = match () {
            () if question.contains("image_url") => "A red square",
            () if question.contains("code word") => "Marigold",
            () => "one two three",
        };
        return words.split_inclusive(' ').fold(Script::stream(), |script, word| script.words(&[word])).done("stop");
    }
    if messages.last().unwrap()["role"] == "tool" {
        return Script::says(&["Rain", " and", " sun"]);
    }
    let cities = if cities.is_empty() { vec!["Oslo"] } else { cities };
    let calls: Vec<_> = cities.iter().map(|city| ("get_weather", json!({"city": city}))).collect();
    Script::calls(&calls)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_without_deviations() {
    let upstream = Upstream::start().await;
    upstream.answer_with(answer);
    let (code, told) = doctor(&["doctor", "--model"], at(&upstream)).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.starts_with("model test-model at 127.0.0.1:") && told.contains("dialect: default"), "{told}");
    let verdicts: Vec<_> =
        told.lines().skip(1).take_while(|line| !line.is_empty()).map(|line| line.split_at(21).0.trim()).collect();
    let expected = [
        "ok    text",
        "ok    streaming",
        "ok    usage",
        "no    thoughts",
        "ok    tools",
        "ok    tool choice",
        "ok    parallel calls",
        "ok    tool results",
        "ok    images",
        "ok    context window",
    ];
    assert_eq!(verdicts, expected, "{told}");
    assert!(told.contains("no setting of the dialect is needed") && !told.contains("hunter2"), "{told}");
    assert!(told.contains("at least 7 tokens") && !told.contains("context_tokens"), "{told}");
    // Ten tokens each.
    assert!(told.ends_with("These requests have used about 90 tokens.\n"), "{told}");
    assert_eq!(upstream.requests().len(), 9);
}

/// As docs/MODELS.md has it: the base URL has the deployment and the version of the API.
#[tokio::test(flavor = "multi_thread")]
async fn the_query_of_the_base_url_is_sent_with_each_request() {
    let upstream = Upstream::start().await;
    upstream.answer_with(answer);
    let query = "?api-version=2025-04-01-preview";
    let settings = [
        at(&upstream),
        vec![("OPENROUTER_BASE_URL", format!("{}{query}", upstream.base_url())), ("MODEL_DIALECT", "azure".to_owned())],
    ];
    let (code, told) = doctor(&["doctor", "--model"], settings.concat()).await;
    assert_eq!(code, Some(0), "{told}");
    let heads = upstream.heads();
    assert!(!heads.is_empty());
    for head in heads {
        assert!(head.starts_with(&format!("POST /v1/chat/completions{query} ")), "{head}");
        assert!(head.contains("api-key: sk-hunter2") && !head.contains("Bearer"), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_context_window_is_found() {
    let long =
        |request: &Value| request["messages"][1]["content"].as_str().is_some_and(|text| text.contains("code word"));
    let size = |request: &Value| request["messages"][1]["content"].as_str().unwrap_or_default().len();
    let upstream = Upstream::start().await;
    let suggested = |told: &str, tokens: u32| {
        told.contains(&format!("[models.\"test-model\"]\ncontext_tokens = {tokens}\n"))
            && told.contains(&format!("CONTEXT_TOKENS={tokens}\n"))
    };
    // A refusal names it.
    upstream.answer_with(move |request| match long(request) && size(request) > 10_000 {
        true => Script::fails(400, &json!({"error": {"message": "maximum context length is 2500 tokens"}})),
        false => answer(request),
    });
    let (code, told) = doctor(&["doctor", "--model"], at(&upstream)).await;
    assert!(code == Some(0) && suggested(&told, 2500), "{told}");
    assert!(told.contains("ok    context window  2500 tokens"), "{told}");
    // It is set already.
    let asked = upstream.requests().len();
    let set = ("CONTEXT_TOKENS", "2500".to_owned());
    let (_, told) = doctor(&["doctor", "--model"], [at(&upstream), vec![set]].concat()).await;
    assert!(told.contains("2500 tokens as configured") && !told.contains("context_tokens"), "{told}");
    assert_eq!(upstream.requests().len(), asked + 7);
    // The list of models says it, and a long prompt would cost.
    upstream.list_models(json!([{"id": "test-model", "context_length": 100_000}])).answer_with(answer);
    let (_, told) = doctor(&["doctor", "--model"], at(&upstream)).await;
    assert!(
        told.contains("100000 tokens as the server's list of models says") && told.contains("as they cost"),
        "{told}"
    );
    // A server that cuts the prompt without a word.
    upstream.answer_with(move |request| match long(request) {
        true => Script::stream().words(&["I", " do", " not", " know"]).event(json!({}), Some("stop")).raw(format!(
            "data: {}\n\ndata: [DONE]\n\n",
            json!({"choices": [], "usage": {"prompt_tokens": 2048, "completion_tokens": 4}})
        )),
        false => answer(request),
    });
    let (code, told) = doctor(&["doctor", "--model"], at(&upstream)).await;
    assert!(code == Some(0) && told.contains("no    context window") && suggested(&told, 2048), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_refuses_is_suggested_for_the_agents_file() {
    let upstream = Upstream::start().await;
    upstream.answer_with(|request| {
        let refuse = |words: &str| Script::fails(400, &json!({"error": {"message": words}}));
        if request.get("stream_options").is_some() {
            refuse("stream_options: extra fields not permitted")
        } else if request["messages"][0]["role"] == "system" {
            refuse("System role not supported")
        } else if request.get("tools").is_some() {
            refuse("test-model does not support tools")
        } else if request["messages"].to_string().contains("image_url") {
            refuse("this model cannot see images")
        } else {
            Script::says(&["one two"])
        }
    });
    let (code, told) = doctor(&["doctor", "--model"], at(&upstream)).await;
    assert_eq!(code, Some(0), "conversations work: {told}");
    let settings =
        "[models.\"test-model\".dialect]\nsystem = \"user\"\nstream_options = false\ntools = false\nimages = false\n";
    assert!(told.contains(settings), "{told}");
    assert!(told.contains("MODEL_DIALECT=system=user,stream_options=false,tools=false,images=false\n"), "{told}");
    for line in ["no    streaming", "no    tools", "no    parallel calls", "no    images"] {
        assert!(told.contains(line), "{told}");
    }
    // With what it suggests, nothing is refused.
    let asked = upstream.requests().len();
    let dialect = ("MODEL_DIALECT", "system=user,stream_options=false,tools=false,images=false".to_owned());
    let (code, told) = doctor(&["doctor", "--model"], [at(&upstream), vec![dialect]].concat()).await;
    assert!(code == Some(0) && told.contains("no setting of the dialect is needed"), "{told}");
    assert_eq!(upstream.requests().len(), asked + 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_and_the_demo_model() {
    let upstream = Upstream::start().await;
    upstream.answer_with(|_| Script::fails(401, &json!({"error": {"message": "Invalid key sk-hunter2"}})));
    let (code, told) = doctor(&["doctor", "--model", "m/one"], at(&upstream)).await;
    assert!(code == Some(1) && told.contains("FAIL  text") && told.contains("401"), "{told}");
    assert!(told.starts_with("model m/one at ") && !told.contains("hunter2"), "{told}");
    assert_eq!(upstream.requests()[0]["model"], "m/one");
    let (code, told) = doctor(&["doctor", "--model"], Vec::new()).await;
    assert!(code == Some(0) && told.contains("demo model: built in"), "{told}");
    let (code, _) = doctor(&["doctor", "--model"], vec![("MODEL_DIALECT", "mistrall".to_owned())]).await;
    assert_eq!(code, Some(2), "a wrong setting");
}
