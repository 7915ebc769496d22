//! Probes a model: what works, in which dialect, and how much it reads.

mod window;

use crate::config::ModelParameters;
use crate::dialect::DialectOverrides;
use crate::{
    AttachedFile, FileContent, Message, Model, ModelError, ModelEvent, ModelRequest, ToolCall, ToolSpec, UserInput,
};
use async_recursion::async_recursion as boxed;
use futures::StreamExt;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use threadline_schema::ids::AttachmentId;
use threadline_schema::runs::Usage;
use tokio::time::Instant;

/// Tokens that a probe can cost, thoughts included.
const MAX_TOKENS: u32 = 1_024;
/// Bytes of a token, where the server does not count: English text.
const BYTES_PER_TOKEN: usize = 4;
/// A red square of 32 by 32 pixels. Some servers refuse smaller images.
const RED_SQUARE: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAKklEQVR42mN4oKBAU8QwasGoBaMWjFowasGoBaMWjFowasGoBaMWDBULAKWUgD269a5MAAAAAElFTkSuQmCC";

/// The result of one probe.
#[derive(Debug, Clone)]
pub struct ProbeResult {
    /// What was tried.
    pub feature: &'static str,
    /// Whether it works.
    pub verdict: Verdict,
    /// What was seen. One line.
    pub detail: String,
}

/// Whether something works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Works,
    /// The model does without, and conversations work all the same.
    Missing,
    /// It fails, and so do conversations.
    Fails,
}

/// What one request brought.
#[derive(Default)]
struct Answer {
    text: String,
    thoughts: usize,
    /// Events with text or thoughts.
    pieces: usize,
    calls: Vec<ToolCall>,
    usage: Option<Usage>,
    first_token: Option<Duration>,
}

/// What the probes of a model have found.
#[derive(Debug, Clone, Default)]
pub struct ProbeReport {
    /// In the order of the probes.
    pub results: Vec<ProbeResult>,
    /// Tokens that should be set as the context window of the model: the server does not say them, or says too many.
    pub context_tokens: Option<u64>,
    /// Tokens that all requests together have used, as far as the server says; otherwise an estimate.
    pub tokens: u64,
}

/// Probes a model: its text, its stream, usage, tools, and images, with six small requests; then its context window,
/// with at most three, of which the longest has about 8,000 tokens. `context_tokens` is the configured size of the
/// window.
#[boxed]
pub async fn probe(
    model: &dyn Model,
    name: Arc<str>,
    dialect: Option<Arc<DialectOverrides>>,
    context_tokens: Option<u64>,
) -> ProbeReport {
    let prober = Prober { model, name: Some(name), dialect, tokens: AtomicU64::new(0) };
    let mut results = Vec::new();
    let mut found = None;
    // The others would fail in the same way.
    if prober.text(&mut results).await {
        prober.tools(&mut results).await;
        prober.images(&mut results).await;
        found = prober.window(context_tokens, &mut results).await;
    }
    ProbeReport { results, context_tokens: found, tokens: prober.tokens.into_inner() }
}

struct Prober<'a> {
    model: &'a dyn Model,
    name: Option<Arc<str>>,
    dialect: Option<Arc<DialectOverrides>>,
    /// Tokens used so far.
    tokens: AtomicU64,
}

impl Prober<'_> {
    /// Asks for text. Returns whether some came.
    async fn text(&self, results: &mut Vec<ProbeResult>) -> bool {
        let words = "Count from one to ten in words, separated by spaces.";
        let answer = match self.ask(vec![system(), Message::User(words.into())], &[], None).await {
            Ok(answer) => answer,
            Err(error) => {
                results.push(failed("text", &error));
                return false;
            }
        };
        if answer.text.trim().is_empty() {
            let detail = format!("no text within {MAX_TOKENS} tokens ({} pieces of thought)", answer.thoughts);
            results.push(ProbeResult { feature: "text", verdict: Verdict::Fails, detail });
            return false;
        }
        let begun = answer.first_token.unwrap_or_default().as_millis();
        works(results, "text", format!("{:?}; the first token after {begun} ms", shortened(&answer.text)));
        match answer.pieces {
            0 | 1 => missing(results, "streaming", "the answer came in one piece"),
            pieces => works(results, "streaming", format!("{pieces} pieces")),
        }
        match answer.usage {
            None => missing(results, "usage", "the server does not tell how many tokens were used; they are estimated"),
            Some(usage) => {
                let detail = format!("{} tokens in, {} out", usage.prompt_tokens, usage.completion_tokens);
                works(results, "usage", detail);
            }
        }
        match answer.thoughts {
            0 => missing(results, "thoughts", "none"),
            thoughts => works(results, "thoughts", format!("{thoughts} pieces")),
        }
        true
    }

    async fn tools(&self, results: &mut Vec<ProbeResult>) {
        let tools = [weather()];
        let question = "What is the weather in Paris? Use the tool.";
        match self.ask(vec![system(), Message::User(question.into())], &tools, None).await {
            Err(error) => results.push(failed("tools", &error)),
            Ok(answer) => match answer.calls.first() {
                None => missing(results, "tools", "the model did not call the tool that it was asked to use"),
                Some(call) => calls(results, "tools", &answer.calls, call),
            },
        }
        match self.ask(vec![system(), Message::User("Hello.".into())], &tools, Some("get_weather")).await {
            Err(error) => results.push(failed("tool choice", &error)),
            Ok(answer) if answer.calls.is_empty() => {
                missing(results, "tool choice", "the model did not call the tool that it had to");
            }
            Ok(_) => works(results, "tool choice", "the model called the tool that it had to".to_owned()),
        }
        let question = "What is the weather in Paris and in Rome? Call the tool for both cities at the same time.";
        match self.ask(vec![system(), Message::User(question.into())], &tools, None).await {
            Err(error) => results.push(failed("parallel calls", &error)),
            Ok(answer) if answer.calls.len() > 1 => {
                works(results, "parallel calls", format!("{} calls in one answer", answer.calls.len()));
            }
            Ok(_) => missing(results, "parallel calls", "one call at a time"),
        }
        let call = |id: &str, city: &str| ToolCall {
            id: id.to_owned(),
            name: "get_weather".to_owned(),
            arguments: json!({"city": city}).to_string(),
            echo: None,
        };
        let result =
            |id: &str, sky: &str| Message::Tool { call_id: id.to_owned(), content: json!({"sky": sky}).to_string() };
        let messages = vec![
            system(),
            Message::User(question.into()),
            Message::Assistant { text: String::new(), tool_calls: vec![call("1", "Paris"), call("2", "Rome")] },
            result("1", "rain"),
            result("2", "sun"),
        ];
        match self.ask(messages, &tools, None).await {
            Err(error) => results.push(failed("tool results", &error)),
            Ok(answer) if answer.text.trim().is_empty() => {
                missing(results, "tool results", "no words after the results")
            }
            Ok(answer) => works(results, "tool results", format!("{:?}", shortened(&answer.text))),
        }
    }

    async fn images(&self, results: &mut Vec<ProbeResult>) {
        let image = AttachedFile {
            id: AttachmentId::nil(),
            name: "square.png".to_owned(),
            mime_type: "image/png".to_owned(),
            content: FileContent::Image(RED_SQUARE.into()),
        };
        let question = UserInput { text: "Which colour is this square?".to_owned(), attachments: vec![image] };
        match self.ask(vec![system(), Message::User(question)], &[], None).await {
            Err(error) => results.push(failed("images", &error)),
            Ok(answer) if answer.text.to_lowercase().contains("red") => {
                works(results, "images", format!("{:?}", shortened(&answer.text)));
            }
            Ok(answer) => {
                missing(
                    results,
                    "images",
                    &format!("the model does not see a red square: {:?}", shortened(&answer.text)),
                );
            }
        }
    }

    async fn ask(
        &self,
        messages: Vec<Message>,
        tools: &[ToolSpec],
        tool_choice: Option<&str>,
    ) -> Result<Answer, ModelError> {
        self.ask_for(MAX_TOKENS, messages, tools, tool_choice).await
    }

    /// Asks for at most so many tokens.
    async fn ask_for(
        &self,
        max_tokens: u32,
        messages: Vec<Message>,
        tools: &[ToolSpec],
        tool_choice: Option<&str>,
    ) -> Result<Answer, ModelError> {
        let bytes: usize = messages.iter().map(Message::bytes).sum();
        let parameters = ModelParameters { max_tokens: Some(max_tokens), ..ModelParameters::default() };
        let mut stream = self.model.stream(ModelRequest {
            model: self.name.clone(),
            dialect: self.dialect.clone(),
            parameters: Arc::new(parameters),
            messages,
            tools: tools.into(),
            tool_choice: tool_choice.map(Into::into),
            request_id: "doctor".into(),
        });
        let started = Instant::now();
        let mut answer = Answer::default();
        while let Some(event) = stream.next().await {
            match event? {
                ModelEvent::Text(text) => {
                    answer.pieces += 1;
                    answer.text.push_str(&text);
                }
                ModelEvent::Thought(_) => {
                    answer.pieces += 1;
                    answer.thoughts += 1;
                }
                ModelEvent::ToolCall(call) => answer.calls.push(call),
                ModelEvent::Usage(usage) => answer.usage = Some(usage),
                _ => continue,
            }
            answer.first_token.get_or_insert_with(|| started.elapsed());
        }
        let used = answer.usage.map_or_else(
            || u64::try_from((bytes + answer.text.len()) / BYTES_PER_TOKEN).unwrap_or(u64::MAX),
            |usage| usage.prompt_tokens.saturating_add(usage.completion_tokens),
        );
        self.tokens.fetch_add(used, Ordering::Relaxed);
        Ok(answer)
    }
}

fn system() -> Message {
    Message::System("You are a helpful assistant. Answer in one short sentence.".to_owned())
}

fn weather() -> ToolSpec {
    let schema = json!({
        "type": "object", "required": ["city"], "additionalProperties": false,
        "properties": {"city": {"type": "string", "description": "Name of the city."}},
    });
    ToolSpec {
        name: "get_weather".to_owned(),
        description: "Returns the weather in a city.".to_owned(),
        // Serialising a `Value` cannot fail.
        parameters: to_raw_value(&schema).unwrap_or_default().into(),
    }
}

fn calls(results: &mut Vec<ProbeResult>, feature: &'static str, all: &[ToolCall], call: &ToolCall) {
    let detail = format!("{} with {}", shortened(&call.name), shortened(&call.arguments));
    let is_valid = call.name == "get_weather"
        && all.iter().all(|call| {
            serde_json::from_str::<Value>(&call.arguments)
                .is_ok_and(|value| value.get("city").is_some_and(Value::is_string))
        });
    if is_valid {
        works(results, feature, detail)
    } else {
        missing(results, feature, &format!("an invalid call: {detail}"))
    }
}

fn works(results: &mut Vec<ProbeResult>, feature: &'static str, detail: String) {
    results.push(ProbeResult { feature, verdict: Verdict::Works, detail });
}

fn missing(results: &mut Vec<ProbeResult>, feature: &'static str, detail: &str) {
    results.push(ProbeResult { feature, verdict: Verdict::Missing, detail: detail.to_owned() });
}

fn failed(feature: &'static str, error: &ModelError) -> ProbeResult {
    ProbeResult { feature, verdict: Verdict::Fails, detail: shortened(&error.to_string()) }
}

/// Returns the beginning of a text on one line.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= 160 { line } else { line.chars().take(159).chain(['…']).collect() }
}
