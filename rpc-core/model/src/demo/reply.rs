//! Decides the next step of a conversation: tool calls, or text.

use super::command::{Command, Target, parse};
use crate::{AttachedFile, FileContent, Message, ModelRequest, ToolCall};
use serde::Deserialize;
use serde_json::{Value, json};
use threadline_schema::tasks::{Priority, TaskFilter};

/// The tool that asks the user. It works even where the prompt does not list it.
const ASK_USER: &str = "ask_user";
/// Tool calls of one turn, at most.
const MAX_CALLS: usize = 20;
/// Words of a text file that are quoted.
const QUOTED_WORDS: usize = 12;
/// The end of each reply, so that no user takes it for the words of a language model.
const SIGNATURE: &str = "(I am the built-in demo model.)";
const HELP: &str = "Hello! I am Threadline's built-in demo model. I understand simple sentences about a task list. Try:\n\
    - add a task to buy milk with high priority\n\
    - add tasks: water the plants, call mom and pay rent\n\
    - show my tasks\n\
    - complete buy milk\n\
    - rename call mom to call dad\n\
    - delete pay rent\n\
    - ask me about my week\n\
    For a real language model, set OPENROUTER_API_KEY and start Threadline again.";

/// What the demo does next.
pub(super) enum Reply {
    Text(String),
    /// Tool calls: name and arguments.
    Calls(Vec<(&'static str, Value)>),
}

/// A tool call since the last message of the user, with its result.
struct FinishedCall {
    tool: String,
    arguments: Value,
    result: Value,
}

/// A task as the tools return it.
#[derive(Deserialize)]
struct Task {
    id: String,
    title: String,
    #[serde(default)]
    completed: bool,
    #[serde(default)]
    priority: Priority,
}

/// Returns the next step. Only the last message of the user counts, with the tool results since.
pub(super) fn next(request: &ModelRequest) -> Reply {
    let start = request.messages.iter().rposition(|message| matches!(message, Message::User(_)));
    let messages = start.and_then(|start| request.messages.get(start..)).unwrap_or_default();
    let [Message::User(input), rest @ ..] = messages else { return Reply::Text(HELP.to_owned()) };
    let calls = finished_calls(rest);
    let did_only = |tool: &str| calls.iter().all(|call| call.tool == tool);
    let reply = match parse(&input.text) {
        None if !input.attachments.is_empty() => describe_files(&input.attachments),
        None => Reply::Text(HELP.to_owned()),
        Some(command) if calls.is_empty() => first_step(command),
        Some(command) if did_only("list_tasks") => act_on_list(command, &calls),
        Some(_) if did_only(ASK_USER) => repeat_answers(&calls),
        Some(_) => sign(&calls.iter().filter_map(outcome).collect::<Vec<_>>().join(" ")),
    };
    let Reply::Calls(mut calls) = reply else { return reply };
    calls.truncate(MAX_CALLS);
    let is_known = |name: &str| name == ASK_USER || request.tools.iter().any(|tool| tool.name == name);
    match calls.iter().find(|(name, _)| !is_known(name)) {
        Some((name, _)) => sign(&format!("I need the tool {name} for that, and this agent does not have it.")),
        None => Reply::Calls(calls),
    }
}

/// The step before any tool was called. Tasks are named by title, so the commands that change one need the list.
fn first_step(command: Command) -> Reply {
    let status = match command {
        Command::Add(tasks) => return Reply::Calls(tasks.into_iter().map(|task| ("add_task", task)).collect()),
        Command::Ask(topic) => {
            let question = match topic.as_str() {
                "" | "something" | "a question" | "questions" => "What is on your mind?".to_owned(),
                topic => format!("What should I know about {topic}?"),
            };
            let urgency = json!({"question": "How urgent is it?", "options": ["low", "medium", "high"]});
            return Reply::Calls(vec![(ASK_USER, json!({"questions": [{"question": question}, urgency]}))]);
        }
        Command::Complete(Target::Every(_)) => TaskFilter::Pending,
        Command::List(status) | Command::Delete(Target::Every(status)) => status,
        Command::Complete(_) | Command::Delete(_) | Command::Update(..) => TaskFilter::All,
    };
    Reply::Calls(vec![("list_tasks", json!({"status": status}))])
}

/// The step after `list_tasks`.
fn act_on_list(command: Command, calls: &[FinishedCall]) -> Reply {
    if let Some(error) = calls.iter().find_map(FinishedCall::error) {
        return sign(&format!("That did not work: {error}."));
    }
    let tasks = calls.iter().filter_map(|call| call.result.get("tasks")?.as_array()).flatten();
    let tasks: Vec<Task> = tasks.filter_map(|task| Task::deserialize(task).ok()).collect();
    match command {
        Command::Complete(target) => change_each("complete_task", &target, &json!({}), &tasks),
        Command::Delete(target) => change_each("delete_task", &target, &json!({}), &tasks),
        Command::Update(target, change) => change_each("update_task", &target, &change, &tasks),
        Command::List(_) | Command::Add(_) | Command::Ask(_) if tasks.is_empty() => {
            sign("There are no tasks like that.")
        }
        Command::List(_) | Command::Add(_) | Command::Ask(_) => {
            let noun = if tasks.len() == 1 { "task" } else { "tasks" };
            list(&format!("You have {} {noun}:", tasks.len()), &tasks.iter().collect::<Vec<_>>())
        }
    }
}

/// Calls a tool for the task that the user named, or for all of them.
fn change_each(tool: &'static str, target: &Target, change: &Value, tasks: &[Task]) -> Reply {
    let is_candidate = |task: &&Task| tool != "complete_task" || !task.completed;
    let (candidates, done): (Vec<&Task>, Vec<&Task>) = tasks.iter().partition(is_candidate);
    let found = match target {
        Target::Every(_) if candidates.is_empty() => return sign("There are no tasks like that."),
        Target::Every(_) => candidates,
        Target::Named(name) => match (best_matches(&candidates, name), best_matches(&done, name).first()) {
            (found, _) if found.len() > 1 => {
                return list(&format!("More than one task fits \"{name}\". Which one do you mean?"), &found);
            }
            (found, Some(done)) if found.is_empty() => return sign(&format!("\"{}\" is already done.", done.title)),
            (found, None) if found.is_empty() && candidates.is_empty() => {
                return sign(&format!("I found no task like \"{name}\", and there are no others."));
            }
            (found, None) if found.is_empty() => {
                return list(&format!("I found no task like \"{name}\". There are {}:", candidates.len()), &candidates);
            }
            (found, _) => found,
        },
    };
    let with_id = |task: &Task| {
        let mut arguments = change.clone();
        if let Some(fields) = arguments.as_object_mut() {
            fields.insert("task_id".to_owned(), task.id.as_str().into());
        }
        (tool, arguments)
    };
    Reply::Calls(found.into_iter().map(with_id).collect())
}

/// Returns the tasks with this id or title, else those that contain all words of it.
fn best_matches<'a>(tasks: &[&'a Task], name: &str) -> Vec<&'a Task> {
    let wanted = words_of(name);
    let exact = |task: &&&Task| task.id == name || words_of(&task.title) == wanted;
    // "buying" and "buy", "eggs" and "egg".
    let similar = |a: &str, b: &str| a == b || a.len().min(b.len()) > 2 && (a.starts_with(b) || b.starts_with(a));
    let contains =
        |task: &&&Task| wanted.iter().all(|word| words_of(&task.title).iter().any(|other| similar(word, other)));
    let found: Vec<&Task> = tasks.iter().filter(exact).copied().collect();
    if found.is_empty() && !wanted.is_empty() { tasks.iter().filter(contains).copied().collect() } else { found }
}

/// The words of a text in lower case, without articles and the like if there are others.
fn words_of(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty());
    let words: Vec<String> = words.map(str::to_lowercase).collect();
    let filler = |word: &str| matches!(word, "the" | "a" | "an" | "my" | "to" | "of" | "some" | "task");
    if words.iter().all(|word| filler(word)) { words } else { words.into_iter().filter(|word| !filler(word)).collect() }
}

/// Says what a call did, or why it failed. `None` for a list that was read on the way.
fn outcome(call: &FinishedCall) -> Option<String> {
    let (past, infinitive) = match call.tool.as_str() {
        "add_task" => ("Added", "add"),
        "complete_task" => ("Completed", "complete"),
        "update_task" => ("Updated", "update"),
        "delete_task" => ("Deleted", "delete"),
        _ => return None,
    };
    let task = call.result.get("task").unwrap_or(&call.arguments);
    let title = task.get("title").and_then(Value::as_str).unwrap_or("the task");
    Some(match (call.error(), call.arguments.get("priority").and_then(Value::as_str)) {
        (Some(error), _) => format!("I could not {infinitive} \"{title}\": {error}."),
        (None, Some(priority @ ("low" | "high"))) => format!("{past} \"{title}\" with {priority} priority."),
        (None, _) => format!("{past} \"{title}\"."),
    })
}

/// Repeats what the user answered to questions.
fn repeat_answers(calls: &[FinishedCall]) -> Reply {
    let answers = calls.iter().filter_map(|call| call.result.get("answers")?.as_array()).flatten();
    let line = |answer: &Value| {
        let given: Vec<&str> = answer.get("answers")?.as_array()?.iter().filter_map(Value::as_str).collect();
        Some(format!("- {} {}", answer.get("question")?.as_str()?, given.join(", ")))
    };
    match answers.filter_map(line).collect::<Vec<_>>().as_slice() {
        [] => sign("You would rather not say, and that is fine."),
        lines => sign(&format!("Thank you. You said:\n{}\n", lines.join("\n"))),
    }
}

/// Names the files of a message without a command, and quotes the beginning of text files.
fn describe_files(files: &[AttachedFile]) -> Reply {
    let line = |AttachedFile { name, mime_type, content, .. }: &AttachedFile| match content {
        FileContent::Text(text) => {
            let words: Vec<_> = text.split_whitespace().take(QUOTED_WORDS).collect();
            format!("- {name} ({mime_type}), which begins: \"{}\"", words.join(" "))
        }
        FileContent::Omitted | FileContent::Image(_) => format!("- {name} ({mime_type})"),
    };
    let lines: Vec<_> = files.iter().map(line).collect();
    sign(&format!("I have received:\n{}\n", lines.join("\n")))
}

fn list(heading: &str, tasks: &[&Task]) -> Reply {
    let mut text = heading.to_owned();
    for task in tasks {
        let urgency = (task.priority != Priority::Medium).then(|| format!("{} priority", task.priority.name()));
        let notes: Vec<String> = urgency.into_iter().chain(task.completed.then(|| "done".to_owned())).collect();
        text.push_str(&format!("\n- {}", task.title));
        if !notes.is_empty() {
            text.push_str(&format!(" ({})", notes.join(", ")));
        }
    }
    sign(&(text + "\n"))
}

fn sign(text: &str) -> Reply {
    let separator = if text.ends_with('\n') { "" } else { " " };
    Reply::Text(format!("{text}{separator}{SIGNATURE}"))
}

impl FinishedCall {
    fn error(&self) -> Option<&str> {
        let error = self.result.get("error").filter(|error| !error.is_null())?;
        let text = error.as_str().or_else(|| error.get("message")?.as_str()).unwrap_or("it failed");
        Some(text.trim_end_matches('.'))
    }
}

/// Returns the calls in `messages` that have a result, in their order.
fn finished_calls(messages: &[Message]) -> Vec<FinishedCall> {
    let result_of = |id: &str| {
        messages.iter().find_map(|message| match message {
            Message::Tool { call_id, content } if call_id == id => Some(content),
            _ => None,
        })
    };
    let calls = messages.iter().filter_map(|message| match message {
        Message::Assistant { tool_calls, .. } => Some(tool_calls),
        _ => None,
    });
    let finished = |call: &ToolCall| {
        let result = result_of(&call.id)?;
        Some(FinishedCall {
            tool: call.name.clone(),
            arguments: serde_json::from_str(&call.arguments).unwrap_or_default(),
            result: serde_json::from_str(result).unwrap_or_else(|_| json!({"error": result})),
        })
    };
    calls.flatten().filter_map(finished).collect()
}
