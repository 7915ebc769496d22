//! Conversations that are longer than the context window of the model.

use crate::everywhere;
use crate::support::{Script, Upstream};
use serde_json::{Value, json};

/// Bytes of all texts of a prompt that the strict server reads.
const MAX_PROMPT: usize = 4_000;

fn texts(request: &Value) -> usize {
    let messages = request["messages"].as_array().unwrap().iter();
    messages.map(|message| message["content"].as_str().unwrap_or_default().len()).sum()
}

/// Answers, or refuses a prompt that is too long, in the words of this kind of server.
fn strict(refusal: impl Fn() -> Script + Send + Sync + 'static) -> impl Fn(&Value) -> Script + Send + Sync + 'static {
    move |request| if texts(request) > MAX_PROMPT { refusal() } else { Script::says(&["Noted."]) }
}

fn by_code() -> Script {
    let message = "This model's maximum context length is exceeded. Please reduce the length of the messages.";
    Script::fails(400, &json!({"error": {"message": message, "code": "context_length_exceeded"}}))
}

/// llama.cpp, with a number of tokens.
fn by_number() -> Script {
    let message =
        "the request exceeds the available context size. try increasing the context size or enable context shift";
    let error = json!({"code": 400, "message": message, "type": "exceed_context_size_error", "n_prompt_tokens": 5000, "n_ctx": 4096});
    Script::fails(400, &json!({"error": error}))
}

fn message(number: usize) -> String {
    format!("Message {number}. {}", "word ".repeat(48))
}

everywhere! {
    async fn a_conversation_outgrows_the_model_and_goes_on(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup.upstream(&upstream).with("RATE_LIMIT_REQUESTS_PER_MINUTE", 0).start().await;
        let user = app.user().await;
        let refusals: [fn() -> Script; 2] = [by_code, by_number];
        for refusal in refusals {
            upstream.answer_with(strict(refusal));
            let session = user.session().await;
            let before = upstream.requests().len();
            for number in 0..30 {
                let run = user.say(session, &message(number)).await;
                assert_eq!(run.terminal()["type"], "run.completed", "message {number}");
            }
            let requests = upstream.requests().split_off(before);
            let refused = requests.iter().filter(|request| texts(request) > MAX_PROMPT).count();
            assert!(refused <= 3, "learned from few refusals: {refused}");
            let last = requests.last().unwrap()["messages"].as_array().unwrap();
            assert_eq!(last.last().unwrap()["content"], message(29));
            assert!(texts(requests.last().unwrap()) > MAX_PROMPT / 3, "not shorter than needed");
            let instructions = last[0]["content"].as_str().unwrap();
            assert!(instructions.contains("beginning of this conversation is left out"), "{instructions}");
        }
    }

    async fn the_configured_window_is_respected_without_a_refusal(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.answer_with(|_| Script::says(&["Noted."]));
        let app = setup.upstream(&upstream).with("CONTEXT_TOKENS", 2000).start().await;
        let user = app.user().await;
        let session = user.session().await;
        for number in 0..20 {
            user.say(session, &message(number)).await.terminal();
        }
        let longest = upstream.requests().iter().map(texts).max().unwrap();
        // Tools and answer have their share of the 2,000 tokens, of four bytes at most.
        assert!(longest < 8_000, "{longest}");
        assert!(upstream.requests().last().unwrap()["messages"].as_array().unwrap().len() < 40);
    }
}
