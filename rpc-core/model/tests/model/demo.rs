//! The demo model: single sentences, and conversations with tools.

use crate::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use threadline_model::config::DemoConfig;
use threadline_model::demo::DemoModel;
use threadline_model::{Message, Model, ModelRequest, ToolSpec};

const TOOLS: [&str; 5] = ["add_task", "list_tasks", "complete_task", "delete_task", "update_task"];

/// A sentence and the tool calls of the first turn. `-` means that the demo replies with text.
const SENTENCES: &[(&str, &str)] = &[
    // Adding.
    ("Add task: Buy milk", r#"add_task {"priority":"medium","title":"Buy milk"}"#),
    ("add a task to call mom with high priority", r#"add_task {"priority":"high","title":"call mom"}"#),
    ("Add a task called \"Pay rent\".", r#"add_task {"priority":"medium","title":"Pay rent"}"#),
    ("Add a task: buy milk, high priority.", r#"add_task {"priority":"high","title":"buy milk"}"#),
    ("please add a high priority task to fix the roof", r#"add_task {"priority":"high","title":"fix the roof"}"#),
    ("Add an urgent task: water plants", r#"add_task {"priority":"high","title":"water plants"}"#),
    ("create a new task with low priority to read a book", r#"add_task {"priority":"low","title":"read a book"}"#),
    ("Make a task to wash the car with high priority", r#"add_task {"priority":"high","title":"wash the car"}"#),
    ("new todo: stretch", r#"add_task {"priority":"medium","title":"stretch"}"#),
    ("todo: stretch", r#"add_task {"priority":"medium","title":"stretch"}"#),
    ("Can you add a to-do item for groceries?", r#"add_task {"priority":"medium","title":"groceries"}"#),
    ("add buy milk to my list", r#"add_task {"priority":"medium","title":"buy milk"}"#),
    ("put eggs on my list, please", r#"add_task {"priority":"medium","title":"eggs"}"#),
    ("add buy milk and eggs", r#"add_task {"priority":"medium","title":"buy milk and eggs"}"#),
    ("Remind me to call the dentist!", r#"add_task {"priority":"medium","title":"call the dentist"}"#),
    ("I need to buy bread", r#"add_task {"priority":"medium","title":"buy bread"}"#),
    (
        "Could you please add 'Buy groceries' to my todo list?",
        r#"add_task {"priority":"medium","title":"Buy groceries"}"#,
    ),
    ("I'd like to add a new task called Finish report", r#"add_task {"priority":"medium","title":"Finish report"}"#),
    ("add a high-priority task: call the bank", r#"add_task {"priority":"high","title":"call the bank"}"#),
    ("add buy milk with high priority to my list", r#"add_task {"priority":"high","title":"buy milk"}"#),
    ("Create task Buy milk", r#"add_task {"priority":"medium","title":"Buy milk"}"#),
    ("Add a task called “Pay rent”", r#"add_task {"priority":"medium","title":"Pay rent"}"#),
    ("add task: Äpfel „kaufen“ 🍎", r#"add_task {"priority":"medium","title":"Äpfel „kaufen“ 🍎"}"#),
    (
        "add tasks: A, B and C",
        r#"add_task {"priority":"medium","title":"A"} add_task {"priority":"medium","title":"B"} add_task {"priority":"medium","title":"C"}"#,
    ),
    (
        "Add two tasks: buy milk with high priority, and call mom",
        r#"add_task {"priority":"high","title":"buy milk"} add_task {"priority":"medium","title":"call mom"}"#,
    ),
    (
        "add these tasks:\n- milk\n- eggs\n",
        r#"add_task {"priority":"medium","title":"milk"} add_task {"priority":"medium","title":"eggs"}"#,
    ),
    // Listing.
    ("list my tasks", r#"list_tasks {"status":"all"}"#),
    ("Show me all my tasks, please", r#"list_tasks {"status":"all"}"#),
    ("What's left?", r#"list_tasks {"status":"pending"}"#),
    ("what’s left to do?", r#"list_tasks {"status":"pending"}"#),
    ("show pending tasks", r#"list_tasks {"status":"pending"}"#),
    ("What have I done?", r#"list_tasks {"status":"completed"}"#),
    ("list completed tasks", r#"list_tasks {"status":"completed"}"#),
    ("which tasks are not done", r#"list_tasks {"status":"pending"}"#),
    ("what's on my list?", r#"list_tasks {"status":"all"}"#),
    ("tasks", r#"list_tasks {"status":"all"}"#),
    ("Hi, could you show my to-do list?", r#"list_tasks {"status":"all"}"#),
    ("What is on my list?", r#"list_tasks {"status":"all"}"#),
    ("What tasks do I have?", r#"list_tasks {"status":"all"}"#),
    ("What do I still need to do?", r#"list_tasks {"status":"pending"}"#),
    // Changing needs the list first.
    ("complete buy milk", r#"list_tasks {"status":"all"}"#),
    ("mark buy milk as done", r#"list_tasks {"status":"all"}"#),
    ("I finished buying milk", r#"list_tasks {"status":"all"}"#),
    ("buy milk is done", r#"list_tasks {"status":"all"}"#),
    ("delete the milk task", r#"list_tasks {"status":"all"}"#),
    ("get rid of the milk task", r#"list_tasks {"status":"all"}"#),
    ("rename buy milk to buy oat milk", r#"list_tasks {"status":"all"}"#),
    ("complete all tasks", r#"list_tasks {"status":"pending"}"#),
    ("delete all completed tasks", r#"list_tasks {"status":"completed"}"#),
    ("Please mark the task 'Buy milk' as completed.", r#"list_tasks {"status":"all"}"#),
    ("I need to delete the milk task", r#"list_tasks {"status":"all"}"#),
    ("update buy milk priority to high", r#"list_tasks {"status":"all"}"#),
    // No command.
    ("", "-"),
    ("Hello!", "-"),
    ("What can you do?", "-"),
    ("make me laugh", "-"),
    ("add a task", "-"),
    ("add tasks: , and ,", "-"),
    ("complete", "-"),
    ("delete the task", "-"),
    ("rename buy milk", "-"),
    ("€€€ \u{0} \u{feff} '\"", "-"),
];

#[tokio::test]
async fn sentences() {
    for (sentence, expected) in SENTENCES {
        let response = ask(&[Message::User((*sentence).into())], &TOOLS).await;
        let calls: Vec<_> = response.calls.iter().map(|call| format!("{} {}", call.name, call.arguments)).collect();
        let calls = if calls.is_empty() { "-".to_owned() } else { calls.join(" ") };
        assert_eq!(calls, *expected, "{sentence:?}: {}", response.text());
        assert_eq!(response.text().is_empty(), *expected != "-", "{sentence:?}");
        assert!(response.usage.is_some_and(|usage| usage.completion_tokens > 0));
    }
}

#[tokio::test]
async fn damaged_and_long_sentences_do_no_harm() {
    // Each prefix and each suffix of each sentence, as a user can send it by mistake.
    for (sentence, _) in SENTENCES {
        for (at, _) in sentence.char_indices() {
            for part in [&sentence[..at], &sentence[at..]] {
                ask(&[Message::User(part.into())], &TOOLS).await;
            }
        }
    }
    for part in ["add task: a, ", "rename a to b to ", "please ", "complete the ", "\n"] {
        for times in [10, 280, 100_000] {
            ask(&[Message::User(part.repeat(times).into())], &TOOLS).await;
        }
    }
}

#[tokio::test]
async fn conversations() {
    let mut list = List::default();
    for (sentence, says, left) in [
        (
            "add tasks: buy milk, call mom, call dad and go to town",
            "Added \"buy milk\". Added \"call mom\". Added \"call dad\". Added \"go to town\".",
            "buy milk|call mom|call dad|go to town",
        ),
        ("add a task to pay rent with high priority", "Added \"pay rent\" with high priority", "+pay rent"),
        ("complete buy milk", "Completed \"buy milk\".", "buy milk*|call mom|call dad|go to town|pay rent"),
        ("finish buying the milk", "\"buy milk\" is already done", "="),
        ("delete the call", "More than one task fits \"call\". Which one do you mean?\n- call mom\n- call dad", "="),
        ("delete the call mom task", "Deleted \"call mom\".", "buy milk*|call dad|go to town|pay rent"),
        ("delete the unicorn", "no task like \"unicorn\". There are 4:\n- buy milk (done)\n- call dad", "="),
        ("what's left?", "You have 3 tasks:\n- call dad\n- go to town\n- pay rent (high priority)", "="),
        ("show completed tasks", "You have 1 task:\n- buy milk (done)", "="),
        (
            "rename \"go to town\" to \"go for a walk\"",
            "Updated \"go for a walk\".",
            "buy milk*|call dad|go for a walk|pay rent",
        ),
        (
            "change the title of call dad to write to dad",
            "Updated \"write to dad\".",
            "buy milk*|write to dad|go for a walk|pay rent",
        ),
        ("set the priority of rent to low", "Updated \"pay rent\" with low priority.", "="),
        ("make the walk high priority", "Updated \"go for a walk\" with high priority.", "="),
        ("delete all completed tasks", "Deleted \"buy milk\".", "write to dad|go for a walk|pay rent"),
        ("pay rent is done", "Completed \"pay rent\".", "write to dad|go for a walk|pay rent*"),
        (
            "mark everything as done",
            "Completed \"write to dad\". Completed \"go for a walk\".",
            "write to dad*|go for a walk*|pay rent*",
        ),
        ("complete all tasks", "There are no tasks like that", "="),
        ("delete 0199a1b2-0000-7000-8000-000000000005", "Deleted \"pay rent\".", "write to dad*|go for a walk*"),
        ("delete everything", "Deleted \"write to dad\". Deleted \"go for a walk\".", ""),
        ("list my tasks", "There are no tasks", ""),
        ("delete the milk", "no task like \"milk\", and there are no others", ""),
        ("add a task to fail", "I could not add \"fail\": the list is full.", ""),
        ("thanks", "built-in demo model", ""),
    ] {
        let before = list.titles();
        let response = list.talk(sentence).await;
        assert!(response.contains(says), "{sentence:?}: {response}");
        assert!(response.contains("demo"), "each reply says that it is a demo: {response}");
        let expected = match left {
            "=" => before,
            left => left.strip_prefix('+').map_or_else(|| left.to_owned(), |new| format!("{before}|{new}")),
        };
        assert_eq!(list.titles(), expected, "{sentence:?}");
    }
}

#[tokio::test]
async fn only_the_last_message_counts() {
    let mut list = List::default();
    list.talk("add task: buy milk").await;
    list.messages.push(Message::System("The user stopped the answer before.".to_owned()));
    let response = list.talk("Hello").await;
    assert!(response.contains("OPENROUTER_API_KEY"), "{response}");
    assert_eq!(list.titles(), "buy milk");
}

#[tokio::test]
async fn only_tools_of_the_request_are_called() {
    for (sentence, tool) in [("add task: a", "add_task"), ("list my tasks", "list_tasks"), ("complete a", "list_tasks")]
    {
        let response = ask(&[Message::User(sentence.into())], &[]).await;
        assert!(response.calls.is_empty());
        assert!(response.text().contains(tool), "{}", response.text());
    }
}

#[tokio::test]
async fn unexpected_tool_results_give_a_reply() {
    for result in [
        "",
        "oops",
        "null",
        "[]",
        "7",
        "{}",
        r#"{"error":"no"}"#,
        r#"{"error":{"message":"no"}}"#,
        r#"{"tasks":[{"id":1}, 5]}"#,
    ] {
        for sentence in ["list my tasks", "complete a", "delete everything", "rename a to b", "add task: a"] {
            let mut messages = vec![Message::User(sentence.into())];
            let first = ask(&messages, &TOOLS).await;
            let id = first.calls[0].id.clone();
            messages.push(Message::Assistant { text: String::new(), tool_calls: first.calls });
            messages.push(Message::Tool { call_id: id, content: result.to_owned() });
            let second = ask(&messages, &TOOLS).await;
            assert!(!second.text().is_empty() && second.calls.is_empty(), "{sentence} {result}");
            if result.contains("no") && result.contains("error") {
                assert!(second.text().contains(": no."), "{sentence} {result}: {}", second.text());
            }
        }
    }
}

#[tokio::test]
async fn text_is_streamed_word_by_word() {
    let pause = Duration::from_millis(2);
    let model = DemoModel::new(DemoConfig { word_pause: pause });
    let started = Instant::now();
    let response = Response::collect(model.stream(request(&[Message::User("Hello".into())], &TOOLS))).await;
    assert!(response.texts.len() > 20 && response.texts.iter().all(|word| !word.trim_end().contains(' ')));
    assert!(started.elapsed() >= pause * u32::try_from(response.texts.len() - 1).unwrap());
    assert!(model.check_health().await.is_ok());
    assert_eq!((model.kind(), model.name()), ("demo", "demo"));
}

/// A to-do list with the tools of the service.
#[derive(Default)]
struct List {
    tasks: Vec<Value>,
    created: usize,
    messages: Vec<Message>,
}

impl List {
    /// Sends a sentence and runs the tool calls, until the demo replies with text.
    async fn talk(&mut self, sentence: &str) -> String {
        self.messages.push(Message::User(sentence.into()));
        for _ in 0..4 {
            let response = ask(&self.messages, &TOOLS).await;
            self.messages.push(Message::Assistant { text: response.text(), tool_calls: response.calls.clone() });
            if response.calls.is_empty() {
                return response.text();
            }
            for call in &response.calls {
                let content = self.run(&call.name, &serde_json::from_str(&call.arguments).unwrap()).to_string();
                self.messages.push(Message::Tool { call_id: call.id.clone(), content });
            }
        }
        panic!("{sentence:?} does not end");
    }

    fn run(&mut self, tool: &str, arguments: &Value) -> Value {
        let at = self.tasks.iter().position(|task| task["id"] == arguments["task_id"]);
        match (tool, at) {
            ("add_task", _) if arguments["title"] == "fail" => json!({"error": "the list is full"}),
            ("add_task", _) => {
                self.created += 1;
                let id = format!("0199a1b2-0000-7000-8000-{:012}", self.created);
                let task = json!({"id": id, "title": arguments["title"], "priority": arguments["priority"], "completed": false});
                self.tasks.push(task.clone());
                json!({"task": task})
            }
            ("list_tasks", _) => {
                let wanted = match arguments["status"].as_str().unwrap() {
                    "all" => None,
                    "pending" => Some(false),
                    "completed" => Some(true),
                    other => panic!("no such status: {other}"),
                };
                let fits = |task: &&Value| wanted.is_none_or(|wanted| task["completed"] == wanted);
                json!({"tasks": self.tasks.iter().filter(fits).collect::<Vec<_>>()})
            }
            ("complete_task", Some(at)) => {
                self.tasks[at]["completed"] = true.into();
                json!({"task": self.tasks[at]})
            }
            ("delete_task", Some(at)) => json!({"deleted": true, "task": self.tasks.remove(at)}),
            ("update_task", Some(at)) => {
                for field in ["title", "priority"] {
                    if let Some(value) = arguments.get(field) {
                        self.tasks[at][field] = value.clone();
                    }
                }
                json!({"task": self.tasks[at]})
            }
            _ => panic!("{tool} {arguments}"),
        }
    }

    /// Returns the titles. A star marks completed tasks.
    fn titles(&self) -> String {
        let titles: Vec<_> = self
            .tasks
            .iter()
            .map(|task| {
                format!("{}{}", task["title"].as_str().unwrap(), if task["completed"] == true { "*" } else { "" })
            })
            .collect();
        titles.join("|")
    }
}

async fn ask(messages: &[Message], tools: &[&str]) -> Response {
    let model = DemoModel::new(DemoConfig { word_pause: Duration::ZERO });
    Response::collect(model.stream(request(messages, tools))).await
}

fn request(messages: &[Message], tools: &[&str]) -> ModelRequest {
    let parameters = serde_json::value::to_raw_value(&json!({})).unwrap();
    let tool = |name: &&str| ToolSpec {
        name: (*name).to_owned(),
        description: String::new(),
        parameters: parameters.clone().into(),
    };
    ModelRequest {
        messages: messages.to_vec(),
        tools: Arc::from_iter(tools.iter().map(tool)),
        request_id: "req-1".into(),
        ..ModelRequest::default()
    }
}
