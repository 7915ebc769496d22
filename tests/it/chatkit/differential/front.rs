//! The items that a front end builds from the events of a thread.

use serde_json::Value;

/// A thread as a front end has it.
#[derive(Default)]
pub struct Front {
    pub thread: Value,
    /// Oldest first.
    pub items: Vec<Value>,
    /// Files it has announced.
    pub files: Vec<Value>,
}

impl Front {
    /// Id of the thread.
    pub fn id(&self) -> &Value {
        &self.thread["id"]
    }

    /// Its newest item of a type.
    pub fn newest(&self, kind: &str) -> &Value {
        let found = self.items.iter().rfind(|item| item["type"] == kind);
        found.unwrap_or_else(|| panic!("no {kind}: {:?}", self.items))
    }

    pub fn take(&mut self, event: &Value) {
        match event["type"].as_str().unwrap() {
            "thread.created" | "thread.updated" => self.thread = event["thread"].clone(),
            "thread.item.added" | "thread.item.done" | "thread.item.replaced" => self.put(&event["item"]),
            "thread.item.updated" => update(self.item(&event["item_id"]), &event["update"]),
            "thread.item.removed" => {
                self.item(&event["item_id"]);
                self.items.retain(|item| item["id"] != event["item_id"]);
            }
            "stream_options" | "error" => {}
            other => panic!("nobody has said what to make of {other}"),
        }
    }

    /// Adds what a front end knows from its own request, if the server does not send it.
    pub fn knows(&mut self, kind: &str, params: &Value) {
        match kind {
            "threads.retry_after_item" => {
                let message = self.items.iter().position(|item| item["id"] == params["item_id"]);
                self.items.truncate(message.unwrap() + 1);
            }
            "threads.add_client_tool_output" => {
                let call = self.items.iter_mut().rfind(|item| item["status"] == "pending").unwrap();
                call["status"] = "completed".into();
                call["output"] = params["result"].clone();
            }
            _ => {}
        }
    }

    fn item(&mut self, id: &Value) -> &mut Value {
        self.items.iter_mut().find(|item| item["id"] == *id).unwrap_or_else(|| panic!("there is no item {id}"))
    }

    fn put(&mut self, item: &Value) {
        match self.items.iter_mut().find(|known| known["id"] == item["id"]) {
            Some(known) => known.clone_from(item),
            None => self.items.push(item.clone()),
        }
    }
}

fn update(item: &mut Value, update: &Value) {
    let place = |index: &Value| usize::try_from(index.as_u64().unwrap()).unwrap();
    match update["type"].as_str().unwrap() {
        "assistant_message.content_part.added" | "assistant_message.content_part.done" => {
            put(&mut item["content"], place(&update["content_index"]), &update["content"]);
        }
        "assistant_message.content_part.text_delta" => {
            let part = &mut item["content"][place(&update["content_index"])]["text"];
            *part = format!("{}{}", part.as_str().unwrap(), update["delta"].as_str().unwrap()).into();
        }
        "workflow.task.added" | "workflow.task.updated" => {
            put(&mut item["workflow"]["tasks"], place(&update["task_index"]), &update["task"]);
        }
        "widget.root.updated" => item["widget"] = update["widget"].clone(),
        other => panic!("nobody has said what to make of {other}"),
    }
}

/// Sets an entry of a list, or adds it at the end.
fn put(list: &mut Value, index: usize, value: &Value) {
    let list = list.as_array_mut().unwrap();
    assert!(index <= list.len(), "{index} is behind the end of {list:?}");
    if index == list.len() {
        list.push(value.clone());
    } else {
        list[index].clone_from(value);
    }
}
