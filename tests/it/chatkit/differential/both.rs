//! The two servers, with the same requests.

use super::TYPES;
use super::differences::{Difference, PART_DONE};
use super::front::Front;
use super::normal::{normal, told, told_in_short};
use crate::chatkit::python::{self, Script as Python};
use crate::support::{App, Client, Script, Setup, Upstream, WITH_CLIENT_TOOL};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

pub struct Both {
    pub upstream: Upstream,
    pub app: App,
    pub user: Client,
    pub python: Python,
    /// ChatKit's models.
    models: Python,
    /// The thread, as a front end has it: on our server and on theirs.
    pub fronts: [Front; 2],
    /// Items that only our server has.
    aside: BTreeSet<String>,
    /// Types that both have answered.
    pub compared: BTreeSet<String>,
}

impl Both {
    /// Returns `None` if the package is missing.
    pub async fn start() -> Option<Self> {
        let upstream = Upstream::start().await;
        let python = python::script("server.py", &[&upstream.base_url()])?;
        let models = python::script("models.py", &["check"])?;
        let setup = Setup::new().await.upstream(&upstream).agents(WITH_CLIENT_TOOL);
        let app = setup.with("AGENT_MAX_ATTEMPTS", 1).with("TRANSCRIPTION_MODEL", "whisper").start().await;
        let user = app.user().await;
        let (fronts, aside, compared) = Default::default();
        Some(Self { upstream, app, user, python, models, fronts, aside, compared })
    }

    pub async fn finish(self) {
        assert!(self.python.finish().await.is_empty() && self.models.finish().await.is_empty());
    }

    /// Returns the responses of ours and theirs: `events`, a `result`, or an `error`. The model follows the scripts.
    pub async fn ask_each(&mut self, kind: &str, params: &[Value; 2], scripts: &[Script]) -> [Value; 2] {
        [self.ours(kind, &params[0], scripts).await, self.theirs(kind, &params[1], scripts)]
    }

    /// The same, with params that depend on the thread of each server.
    pub async fn ask(&mut self, kind: &str, params: impl Fn(&Front) -> Value, scripts: &[Script]) -> [Value; 2] {
        let params = self.fronts.each_ref().map(params);
        self.ask_each(kind, &params, scripts).await
    }

    /// Asks for JSON, which has to be the same.
    pub async fn same(&mut self, kind: &str, params: impl Fn(&Front) -> Value) -> [Value; 2] {
        let answers = self.ask(kind, params, &[]).await;
        self.results_are_the_same(kind, answers)
    }

    /// Checks that both responses are the same JSON. Returns it.
    pub fn results_are_the_same(&mut self, kind: &str, answers: [Value; 2]) -> [Value; 2] {
        let answers = answers.map(|answer| answer.get("result").unwrap_or_else(|| panic!("{kind}: {answer}")).clone());
        self.compared.insert(kind.to_owned());
        let [ours, theirs] = answers.each_ref().map(normal);
        assert_eq!(ours, theirs, "{kind}");
        answers
    }

    /// Requests events: both send the same, except the expected additions of ours; the front ends show the same, and
    /// the same after a reload.
    pub async fn turn(
        &mut self,
        kind: &str,
        params: impl Fn(&Front) -> Value,
        scripts: &[Script],
        differences: &[&Difference],
    ) {
        let theirs_knows = params(&self.fronts[1]);
        let answers = self.ask(kind, params, scripts).await;
        let [ours, theirs] = answers
            .each_ref()
            .map(|answer| answer["events"].as_array().unwrap_or_else(|| panic!("{kind}: {answer}")).as_slice());
        self.compared.insert(kind.to_owned());

        let mut kinds = told_in_short(ours);
        for difference in differences {
            let is_ours_alone = |told: &str| difference.ours_alone.contains(&told);
            let before = kinds.len();
            kinds.retain(|kind| !is_ours_alone(kind));
            assert!(kinds.len() < before, "{kind}: no such difference any more: {}", difference.says);
            let added = ours.iter().filter(|event| event["type"] == "thread.item.added" && is_ours_alone(&told(event)));
            self.aside.extend(added.map(|event| event["item"]["id"].as_str().unwrap().to_owned()));
        }
        kinds.retain(|kind| !PART_DONE.ours_alone.contains(&kind.as_str()));
        assert_eq!(kinds, told_in_short(theirs), "{kind}");

        self.fronts[1].knows(kind, &theirs_knows);
        for (front, events) in self.fronts.iter_mut().zip([ours, theirs]) {
            events.iter().for_each(|event| front.take(event));
        }
        let is_aside = |item: &Value| self.aside.contains(item["id"].as_str().unwrap());
        let ours: Vec<_> = self.fronts[0].items.iter().filter(|item| !is_aside(item)).collect();
        assert_eq!(normal(&json!(ours)), normal(&json!(self.fronts[1].items)), "{kind}");

        let listed = self.ask("items.list", |front| json!({"thread_id": front.id(), "order": "asc"}), &[]).await;
        for (front, listed) in self.fronts.iter().zip(&listed) {
            assert_eq!(json!(front.items), listed["result"]["data"], "what {kind} told is what is stored");
        }
    }

    pub async fn ours(&mut self, kind: &str, params: &Value, scripts: &[Script]) -> Value {
        let expected = self.expect(scripts);
        let reads = TYPES.iter().find(|(name, _)| *name == kind).and_then(|(_, reads)| *reads);
        let answer = match self.user.chatkit_stream(kind, params.clone()).await {
            Ok(stream) => {
                let events: Vec<_> = stream.finish().await.events.into_iter().map(|(_, event)| event).collect();
                for event in &events {
                    self.is_read(reads, event);
                }
                json!({"events": events})
            }
            Err(reply) if reply.status == 200 => {
                self.is_read(reads, &reply.body);
                json!({"result": reply.body})
            }
            Err(reply) => json!({"error": reply.body["error"]["code"]}),
        };
        assert_eq!(self.upstream.requests().len(), expected, "how often ours asks the model for {kind}: {answer}");
        answer
    }

    pub fn theirs(&mut self, kind: &str, params: &Value, scripts: &[Script]) -> Value {
        let expected = self.expect(scripts);
        let answer = self.python.ask(&json!({"type": kind, "params": params, "metadata": {}}));
        assert_eq!(self.upstream.requests().len(), expected, "how often theirs asks the model for {kind}: {answer}");
        answer
    }

    /// Queues scripts for the model. Returns the number of requests that it will have got then.
    fn expect(&self, scripts: &[Script]) -> usize {
        for script in scripts {
            self.upstream.queue(script.clone());
        }
        self.upstream.requests().len() + scripts.len()
    }

    /// The package's models take it, and lose nothing of it.
    fn is_read(&mut self, reads: Option<&str>, answer: &Value) {
        match reads {
            Some(reads) => assert_eq!(self.models.wrong(reads, answer), Vec::<String>::new(), "{answer}"),
            None => assert_eq!(*answer, json!({})),
        }
    }
}

/// Asks for tools, name and arguments each, under ids that no other calls have: theirs would refuse them.
pub fn calls(calls: &[(&str, Value)]) -> Script {
    let calls: Vec<Value> = calls
        .iter()
        .enumerate()
        .map(|(index, (name, arguments))| {
            let function = json!({"name": name, "arguments": arguments.to_string()});
            json!({"index": index, "id": Uuid::new_v4(), "type": "function", "function": function})
        })
        .collect();
    Script::stream().event(json!({"tool_calls": calls}), None).done("tool_calls")
}
