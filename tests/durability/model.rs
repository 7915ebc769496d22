//! A model that follows the message: `talk 40 10 tag` is forty words 10 ms apart, `task 40 10 tag` adds a task with
//! that title first.

use crate::support::{Script, Upstream};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// The answer that a message asks for.
#[derive(Debug, Clone)]
pub struct AnswerPlan {
    pub task: bool,
    pub words: usize,
    pub pause_ms: u64,
    /// Different for each message of a harness.
    pub tag: String,
}

impl AnswerPlan {
    pub fn talk(words: usize, pause_ms: u64, tag: impl Into<String>) -> Self {
        Self { task: false, words, pause_ms, tag: tag.into() }
    }

    /// Returns the message.
    pub fn message(&self) -> String {
        format!("{} {} {} {}", if self.task { "task" } else { "talk" }, self.words, self.pause_ms, self.tag)
    }

    fn of(message: &str) -> Option<Self> {
        let mut parts = message.split(' ');
        let task = parts.next()? == "task";
        let (words, pause_ms) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(Self { task, words, pause_ms, tag: parts.next()?.to_owned() })
    }

    /// Returns a word of the response, which contains its number.
    fn word(&self, number: usize) -> String {
        format!("{}-{number} ", self.tag)
    }

    /// Returns the whole response.
    pub fn answer(&self) -> String {
        (0..self.words).map(|number| self.word(number)).collect()
    }

    fn spoken(&self) -> Script {
        let mut script = Script::stream();
        for number in 0..self.words {
            script = script.words(&[&self.word(number)]);
            if self.pause_ms > 0 {
                script = script.wait(Duration::from_millis(self.pause_ms));
            }
        }
        script.done("stop")
    }
}

/// Starts a model server that answers by these plans.
pub async fn start() -> Upstream {
    let upstream = Upstream::start().await;
    upstream.answer_with(|request| {
        let Some(plan) = plan_of(request) else { return Script::says(&["Hello"]) };
        let last = request["messages"].as_array().and_then(|messages| messages.last());
        let called = last.is_some_and(|message| message["role"] == "tool");
        if plan.task && !called { Script::calls(&[("add_task", json!({"title": plan.tag}))]) } else { plan.spoken() }
    });
    upstream
}

/// Returns the plan of a request to the model: the last one of its conversation.
pub fn plan_of(request: &Value) -> Option<AnswerPlan> {
    let messages = request["messages"].as_array()?;
    let said = messages.iter().rfind(|message| message["role"] == "user")?;
    let text = match &said["content"] {
        Value::String(text) => text,
        parts => parts[0]["text"].as_str()?,
    };
    // Messages without a response between them are sent to the model as one.
    AnswerPlan::of(text.rsplit("\n\n").next()?)
}

/// Counts the requests to the model that begin a response, per message. Requests after a tool call are not counted.
pub fn asked(upstream: &Upstream) -> BTreeMap<String, usize> {
    let mut asked = BTreeMap::new();
    for request in upstream.requests() {
        let last = request["messages"].as_array().and_then(|messages| messages.last());
        if last.is_some_and(|message| message["role"] == "user")
            && let Some(plan) = plan_of(&request)
        {
            *asked.entry(plan.tag).or_default() += 1;
        }
    }
    asked
}
