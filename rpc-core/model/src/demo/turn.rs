//! The prompt -> the next turn: calls, or words.

use super::command::{Change, Command, NewTask, Target, parse};
use super::find::{Found, find, is_title};
use super::results::{Known, Outcome};
use super::say;
use crate::{Message, ModelRequest};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use threadline_schema::tasks::{Priority, TaskFilter};
use uuid::Uuid;

/// The tool that asks the user.
const ASK_USER: &str = "ask_user";
/// Calls of one turn, at most.
const MAX_CALLS: usize = 20;

/// What the demo does next.
pub(super) enum Turn {
    /// Speak.
    Say(String),
    /// Call tools: name and arguments.
    Call(Vec<(&'static str, Value)>),
}

/// The next turn of a conversation. Only the user's last message counts, and what tools answered since.
pub(super) fn next(request: &ModelRequest) -> Turn {
    let begin = request.messages.iter().rposition(|message| matches!(message, Message::User(_)));
    let mut rest = request.messages.iter().skip(begin.unwrap_or(usize::MAX));
    let Some(Message::User(said)) = rest.next() else { return Turn::Say(say::help()) };
    let outcomes = outcomes(rest);
    let command = parse(&said.text);
    if command == Command::Other && !said.attachments.is_empty() {
        return Turn::Say(say::files(&said.attachments));
    }
    let turn = match outcomes.as_slice() {
        [] => first(command),
        all if all.iter().all(|outcome| outcome.tool == "list_tasks") => seen(command, all),
        all if all.iter().all(|outcome| outcome.tool == ASK_USER) => Turn::Say(say::answers(all)),
        all => {
            let listed: Vec<_> =
                all.iter().filter(|outcome| outcome.tool == "list_tasks").flat_map(Outcome::tasks).collect();
            Turn::Say(say::done(all, &listed))
        }
    };
    match turn {
        Turn::Call(calls) => {
            // Questions work also where models are not told of them.
            let is_there = |name: &str| name == ASK_USER || request.tools.iter().any(|tool| tool.name == name);
            let missing = calls.iter().find(|(name, _)| !is_there(name));
            match missing {
                Some((name, _)) => Turn::Say(say::no_tool(name)),
                None => Turn::Call(calls.into_iter().take(MAX_CALLS).collect()),
            }
        }
        turn => turn,
    }
}

/// Before any tool was called.
fn first(command: Command) -> Turn {
    let looked_up = |target: &Target| match target {
        Target::Named(id) => Uuid::parse_str(id).ok().map(|_| id.clone()),
        Target::Every(_) => None,
    };
    let list = |target: &Target| match target {
        Target::Named(_) => listing(TaskFilter::All),
        Target::Every(filter) => listing(*filter),
    };
    match command {
        Command::Add(tasks) => Turn::Call(tasks.into_iter().map(|task| ("add_task", new_task(task))).collect()),
        Command::List(filter) => listing(filter),
        Command::Complete(target) => looked_up(&target).map_or_else(
            // What is done already cannot be done again.
            || if target == Target::Every(TaskFilter::All) { listing(TaskFilter::Pending) } else { list(&target) },
            |id| one("complete_task", &id),
        ),
        Command::Delete(target) => looked_up(&target).map_or_else(|| list(&target), |id| one("delete_task", &id)),
        Command::Update(ways) => match ways.first() {
            Some((target, change)) => match looked_up(target) {
                Some(id) => Turn::Call(vec![("update_task", changed(&id, change))]),
                None => list(target),
            },
            None => Turn::Say(say::help()),
        },
        Command::Ask(topic) => ask(&topic),
        Command::Unclear(question) => Turn::Say(say::signed(question)),
        Command::Other => Turn::Say(say::help()),
    }
}

/// One question in words and one with options, to show both.
fn ask(topic: &str) -> Turn {
    let question = match topic {
        "" | "something" | "a question" | "questions" => "What is on your mind?".to_owned(),
        topic => format!("What should I know about {topic}?"),
    };
    let options = [Priority::Low, Priority::Medium, Priority::High].map(Priority::name);
    let questions = json!([{"question": question}, {"question": "How urgent is it?", "options": options}]);
    Turn::Call(vec![(ASK_USER, json!({"questions": questions}))])
}

/// After the list was read.
fn seen(command: Command, outcomes: &[Outcome]) -> Turn {
    if let Some(error) = outcomes.iter().find_map(Outcome::error) {
        return Turn::Say(say::failed(error));
    }
    let tasks: Vec<Known> = outcomes.iter().flat_map(Outcome::tasks).collect();
    let all: Vec<&Known> = tasks.iter().collect();
    match command {
        Command::List(filter) => Turn::Say(say::list(&tasks, filter)),
        Command::Complete(target) => {
            let (finished, open): (Vec<_>, Vec<_>) = tasks.iter().partition(|task| task.completed);
            match target {
                Target::Every(_) => each("complete_task", &open, TaskFilter::Pending),
                Target::Named(words) => match (find(&open, &words), find(&finished, &words)) {
                    (Found::Nothing, Found::Tasks(done)) if done.len() == 1 => {
                        done.first().map_or_else(|| Turn::Say(say::help()), |task| Turn::Say(say::already_done(task)))
                    }
                    (found, _) => chosen("complete_task", found, &words, &open),
                },
            }
        }
        Command::Delete(Target::Every(filter)) => each("delete_task", &all, filter),
        Command::Delete(Target::Named(words)) => chosen("delete_task", find(&all, &words), &words, &all),
        Command::Update(ways) => update(&ways, &all),
        Command::Add(_) | Command::Ask(_) | Command::Unclear(_) | Command::Other => Turn::Say(say::help()),
    }
}

fn update(ways: &[(Target, Change)], tasks: &[&Known]) -> Turn {
    let exact = |target: &Target| matches!(target, Target::Named(words) if is_title(tasks, words));
    // "Rename go to town to walk": "go" fits too, but "go to town" is the title.
    let (sure, other): (Vec<_>, Vec<_>) = ways.iter().partition(|(target, _)| exact(target));
    let mut problem = None;
    for (target, change) in sure.into_iter().chain(other) {
        let (found, words) = match target {
            Target::Every(_) => (Found::Tasks(tasks.to_vec()), "all"),
            Target::Named(words) => (find(tasks, words), words.as_str()),
        };
        match found {
            // One title for many tasks is nobody's wish.
            Found::Tasks(found) if found.len() == 1 || change.title.is_none() && !found.is_empty() => {
                return Turn::Call(found.iter().map(|task| ("update_task", changed(&task.id, change))).collect());
            }
            Found::Tasks(found) | Found::Several(found) if !found.is_empty() => {
                problem = Some(say::which(words, &found))
            }
            _ => {
                problem.get_or_insert_with(|| say::nothing_like(words, tasks));
            }
        }
    }
    Turn::Say(problem.unwrap_or_else(say::help))
}

fn chosen(tool: &'static str, found: Found<'_>, words: &str, tasks: &[&Known]) -> Turn {
    match found {
        Found::Tasks(found) => Turn::Call(found.iter().map(|task| (tool, json!({"task_id": task.id}))).collect()),
        Found::Several(found) => Turn::Say(say::which(words, &found)),
        Found::Nothing => Turn::Say(say::nothing_like(words, tasks)),
    }
}

fn each(tool: &'static str, tasks: &[&Known], filter: TaskFilter) -> Turn {
    if tasks.is_empty() {
        return Turn::Say(say::none_of(filter));
    }
    Turn::Call(tasks.iter().map(|task| (tool, json!({"task_id": task.id}))).collect())
}

fn one(tool: &'static str, id: &str) -> Turn {
    Turn::Call(vec![(tool, json!({"task_id": id}))])
}

fn listing(filter: TaskFilter) -> Turn {
    Turn::Call(vec![("list_tasks", json!({"status": filter}))])
}

fn new_task(task: NewTask) -> Value {
    let mut arguments = Map::new();
    arguments.insert("title".to_owned(), task.title.into());
    arguments.extend(task.description.map(|text| ("description".to_owned(), text.into())));
    arguments.insert("priority".to_owned(), task.priority.name().into());
    if !task.tags.is_empty() {
        arguments.insert("tags".to_owned(), task.tags.into());
    }
    Value::Object(arguments)
}

fn changed(id: &str, change: &Change) -> Value {
    let mut arguments = Map::new();
    arguments.insert("task_id".to_owned(), id.into());
    for (name, value) in [
        ("title", change.title.as_deref()),
        ("description", change.description.as_deref()),
        ("priority", change.priority.map(|priority| priority.name())),
    ] {
        arguments.extend(value.map(|value| (name.to_owned(), value.into())));
    }
    Value::Object(arguments)
}

/// Calls with their answers, in the order of the calls.
fn outcomes<'a>(messages: impl Iterator<Item = &'a Message> + Clone) -> Vec<Outcome> {
    let answers: HashMap<&str, &str> = messages
        .clone()
        .filter_map(|message| match message {
            Message::Tool { call_id, content } => Some((call_id.as_str(), content.as_str())),
            _ => None,
        })
        .collect();
    messages
        .filter_map(|message| match message {
            Message::Assistant { tool_calls, .. } => Some(tool_calls),
            _ => None,
        })
        .flatten()
        .filter_map(|call| {
            let answer = answers.get(call.id.as_str())?;
            Some(Outcome {
                tool: call.name.clone(),
                arguments: serde_json::from_str(&call.arguments).unwrap_or_default(),
                result: serde_json::from_str(answer).unwrap_or_else(|_| json!({"error": answer})),
            })
        })
        .collect()
}
