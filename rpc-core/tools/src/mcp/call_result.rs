//! Turns the result of `tools/call` into what the model reads.
//!
//! A result means that the call was made. So whatever it is, the model reads it: the parts that are known, and the JSON
//! of the others.

use super::blobs::{described_blob, shorten_blobs};
use crate::json_rpc::integer;
use crate::output::{ToolImage, ToolOutput};
use crate::text::truncate;
use crate::tool::ToolError;
use serde_json::{Map, Value, json};

/// Maximum length of an error for the model, in characters.
const ERROR_CHARS: usize = 2_000;

/// The content of a result.
#[derive(Default)]
pub(super) struct CallContent {
    /// Words of the server.
    texts: Vec<String>,
    /// What this service says about the parts that are not text.
    notes: Vec<String>,
    images: Vec<ToolImage>,
    /// Images that the server has and did not send: the URIs of resources.
    pub(super) linked_images: Vec<String>,
    structure: Option<Value>,
}

/// Reads a result.
///
/// # Errors
/// If the result says that the tool has failed, or asks for input. The text is for the model.
pub(super) fn read_result(result: Value, max_bytes: usize) -> Result<CallContent, ToolError> {
    if result.get("resultType").and_then(Value::as_str) == Some("input_required") {
        let why = "The server asked the user for input, which is not supported here. Nothing was done.";
        return Err(ToolError::Failed(why.to_owned()));
    }
    let Value::Object(mut members) = result else { return Ok(unknown_form(result, max_bytes)) };
    if !["content", "structuredContent", "isError"].iter().any(|name| members.contains_key(*name)) {
        members.remove("_meta");
        return Ok(unknown_form(Value::Object(members), max_bytes));
    }
    let mut content = CallContent::default();
    match members.remove("content") {
        None | Some(Value::Null) => {}
        Some(Value::Array(blocks)) => blocks.into_iter().for_each(|block| content.add(block)),
        Some(block) => content.add(block),
    }
    content.structure = members.remove("structuredContent").filter(|value| !value.is_null()).map(|mut structure| {
        shorten_blobs(&mut structure);
        structure
    });
    let is_error = members.get("isError").is_some_and(is_true);
    if is_error { Err(ToolError::ServiceFailed(content.error_text())) } else { Ok(content) }
}

/// Whether a value is what some language writes for `true`.
fn is_true(value: &Value) -> bool {
    match value {
        Value::String(text) => text.trim().eq_ignore_ascii_case("true") || text.trim() == "1",
        value => *value == json!(true) || integer(value) == Some(1),
    }
}

/// Returns a result without any of the members that the protocol names.
fn unknown_form(mut result: Value, max_bytes: usize) -> CallContent {
    shorten_blobs(&mut result);
    let text = result.to_string();
    if text.len() > max_bytes {
        result = json!(truncate(&text, max_bytes));
    }
    let is_empty = result.is_null() || result.as_object().is_some_and(Map::is_empty);
    CallContent { structure: (!is_empty).then_some(result), ..CallContent::default() }
}

impl CallContent {
    /// Adds an image that the server was asked for.
    pub(super) fn add_linked(&mut self, resource: &Value) {
        for content in resource.get("contents").and_then(Value::as_array).into_iter().flatten() {
            self.add_resource(content);
        }
    }

    fn add(&mut self, mut block: Value) {
        if let Value::String(text) = block {
            return self.texts.push(text);
        }
        let text = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "text" | "" if block.get("text").is_some_and(Value::is_string) => self.texts.push(text("text").to_owned()),
            "image" if block.get("data").is_some_and(Value::is_string) => {
                self.add_blob(mime_type_of(&block), text("data"), "an image");
            }
            "audio" if block.get("data").is_some_and(Value::is_string) => {
                self.notes.push(described_blob("a sound", mime_type_of(&block), text("data")));
            }
            "resource" if block.get("resource").is_some_and(Value::is_object) => {
                self.add_resource(block.get("resource").unwrap_or(&Value::Null));
            }
            "resource_link" if !text("uri").is_empty() => {
                let name = [text("title"), text("name"), text("uri")].into_iter().find(|name| !name.is_empty());
                let mut line = format!("[{}]({})", name.unwrap_or_default(), text("uri"));
                for more in [mime_type_of(&block), text("description")].into_iter().filter(|more| !more.is_empty()) {
                    line.push_str(", ");
                    line.push_str(more);
                }
                self.texts.push(line);
                if ToolImage::is_supported(mime_type_of(&block)) {
                    self.linked_images.push(text("uri").to_owned());
                }
            }
            _ => {
                shorten_blobs(&mut block);
                self.texts.push(block.to_string());
            }
        }
    }

    fn add_resource(&mut self, resource: &Value) {
        let text = |name: &str| resource.get(name).and_then(Value::as_str);
        let (uri, mime_type) = (text("uri").unwrap_or_default(), mime_type_of(resource));
        match (text("text"), text("blob")) {
            (Some(words), _) => self.texts.push(format!("[{uri}]\n{words}")),
            (None, Some(blob)) => self.add_blob(mime_type, blob, &format!("the file {uri}")),
            (None, None) => {
                let mut resource = resource.clone();
                shorten_blobs(&mut resource);
                self.texts.push(resource.to_string());
            }
        }
    }

    fn add_blob(&mut self, mime_type: &str, data: &str, what: &str) {
        match ToolImage::new(mime_type, data).filter(|_| self.images.len() < ToolImage::MAX_PER_RESULT) {
            Some(image) => {
                self.images.push(image);
                self.notes.push(format!("[{what}, {mime_type}, shown after this result]"));
            }
            None => self.notes.push(described_blob(what, mime_type, data)),
        }
    }

    fn error_text(self) -> String {
        let mut text = self.texts.join("\n");
        if text.trim().is_empty() {
            let structure = self.structure.filter(says_something);
            text =
                structure.map_or_else(|| "The tool failed and did not say why.".to_owned(), |value| value.to_string());
        }
        text.chars().take(ERROR_CHARS).collect()
    }

    /// Returns what the model gets: the words, the structure, or both if one lacks what the other has.
    pub(super) fn into_output(self, max_bytes: usize) -> ToolOutput {
        let Self { texts, notes, images, structure, .. } = self;
        let structure = structure.filter(says_something);
        let words = |with_texts: bool| {
            let texts = texts.iter().filter(|_| with_texts).chain(&notes);
            texts.map(String::as_str).collect::<Vec<_>>().join("\n")
        };
        let value = match structure {
            // Structured content is sent as text too, for old clients. The structured form says more.
            Some(structure) => {
                let text = words(!texts.iter().all(|text| says(&structure, text)));
                let size = structure.to_string().len();
                if text.is_empty() {
                    structure
                } else if size + text.len() + 20 > max_bytes && size.min(text.len()) < max_bytes {
                    // What fits is better than nothing.
                    let note = format!("[structured data of {size} bytes, too long to be shown]");
                    if text.len() + note.len() < max_bytes { json!(format!("{text}\n{note}")) } else { structure }
                } else {
                    with_text(structure, text)
                }
            }
            None => match words(true) {
                text if text.is_empty() => json!({"ok": true}),
                text => json!(text),
            },
        };
        ToolOutput { value, images }
    }
}

/// Returns the media type of a part; an empty text if it has none.
fn mime_type_of(part: &Value) -> &str {
    let names = ["mimeType", "mimetype", "mime_type", "mediaType", "media_type"];
    names.iter().find_map(|name| part.get(*name).and_then(Value::as_str)).unwrap_or_default()
}

fn with_text(structure: Value, text: String) -> Value {
    match structure {
        Value::Object(mut members) => {
            let name = ["text", "content", "content_text"].into_iter().find(|name| !members.contains_key(*name));
            members.insert(name.unwrap_or("content_as_text").to_owned(), json!(text));
            Value::Object(members)
        }
        structure => json!({"text": text, "data": structure}),
    }
}

fn says_something(structure: &Value) -> bool {
    match structure {
        Value::Null => false,
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

/// Whether a text is in a structure already: as its JSON, or as the JSON or the words of a part of it.
fn says(structure: &Value, text: &str) -> bool {
    let text = text.trim();
    if text.is_empty() {
        return true;
    }
    let mut parsed: Option<Value> = serde_json::from_str(text).ok();
    if let Some(parsed) = &mut parsed {
        shorten_blobs(parsed);
    }
    has_part(structure, text, parsed.as_ref())
}

fn has_part(part: &Value, text: &str, parsed: Option<&Value>) -> bool {
    parsed == Some(part)
        || match part {
            Value::String(words) => words.trim() == text,
            Value::Array(list) => list.iter().any(|part| has_part(part, text, parsed)),
            Value::Object(members) => members.values().any(|part| has_part(part, text, parsed)),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &str =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

    fn output(result: Value) -> ToolOutput {
        read_result(result, 1_000).unwrap().into_output(1_000)
    }

    fn text(words: &str) -> Value {
        json!({"type": "text", "text": words})
    }

    fn image() -> Value {
        json!({"type": "image", "data": PNG, "mimeType": "image/png"})
    }

    #[test]
    fn any_result_is_something_for_the_model() {
        let ok = json!({"ok": true});
        for (result, value) in [
            (Value::Null, ok.clone()),
            (json!({}), ok.clone()),
            (json!({"content": []}), ok.clone()),
            (json!({"_meta": {"a": 1}}), ok),
            (json!("done"), json!("done")),
            (json!([1]), json!([1])),
            (json!({"status": "done"}), json!({"status": "done"})),
            (json!({"content": "done"}), json!("done")),
            (json!({"content": text("done")}), json!("done")),
            (json!({"content": ["done", {"text": "twice"}]}), json!("done\ntwice")),
            (
                json!({"content": [text("a"), {"type": "chart", "points": [1]}]}),
                json!("a\n{\"points\":[1],\"type\":\"chart\"}"),
            ),
            (json!({"content": [{"type": "text", "text": 7}]}), json!("{\"text\":7,\"type\":\"text\"}")),
            (json!({"content": [{"type": "text"}, 7, null]}), json!("{\"type\":\"text\"}\n7\nnull")),
            (json!({"content": [{"type": "image"}]}), json!("{\"type\":\"image\"}")),
            (
                json!({"content": [{"type": "resource_link", "name": "Plan", "uri": "file:///p", "description": "The plan."}]}),
                json!("[Plan](file:///p), The plan."),
            ),
            (
                json!({"content": [{"type": "resource", "resource": {"uri": "a:b", "text": "words"}}]}),
                json!("[a:b]\nwords"),
            ),
        ] {
            let output = output(result.clone());
            assert_eq!((output.value, output.images.len()), (value, 0), "{result}");
        }
        let long = output(json!({"list": "x y ".repeat(1_000)}));
        assert!(long.value.as_str().unwrap().ends_with("[cut off here]") && long.value.to_string().len() <= 1_000);
    }

    #[test]
    fn words_are_kept_beside_a_structure_that_lacks_them() {
        let rows = json!({"rows": [1, 2, 3]});
        for (content, structure, value) in [
            (json!([text("done: 3 rows")]), json!({}), json!("done: 3 rows")),
            (json!([text("done: 3 rows")]), json!(null), json!("done: 3 rows")),
            (json!([text("{ \"rows\": [1, 2, 3] }")]), rows.clone(), rows.clone()),
            (json!([text("3 rows")]), json!({"result": "3 rows"}), json!({"result": "3 rows"})),
            (json!([text("1"), text("2")]), json!({"result": [1, 2]}), json!({"result": [1, 2]})),
            (json!([]), rows.clone(), rows.clone()),
            (json!([text("done: 3 rows")]), rows, json!({"rows": [1, 2, 3], "text": "done: 3 rows"})),
            (json!([text("a")]), json!({"text": "b"}), json!({"text": "b", "content": "a"})),
            (json!([text("a")]), json!([1]), json!({"data": [1], "text": "a"})),
        ] {
            let result = json!({"content": content, "structuredContent": structure});
            assert_eq!(output(result.clone()).value, value, "{result}");
        }
    }

    #[test]
    fn images_are_kept_and_their_copies_are_not() {
        let copy = PNG.repeat(20);
        let result = json!({"content": [text("a chart"), image()], "structuredContent": {"result": [copy, "a chart"]}});
        let read = output(result);
        assert_eq!(read.images.len(), 1);
        assert!(read.images[0].data_url.starts_with("data:image/png;base64,iVBOR"));
        let value = read.value.to_string();
        assert!(value.contains("a chart") && value.contains("shown after") && value.len() < 400, "{value}");
        let embedded = json!({"type": "resource", "resource": {"uri": "a:b", "mimeType": "image/png", "blob": PNG}});
        assert_eq!(output(json!({"content": [embedded]})).images.len(), 1);
        assert_eq!(output(json!({"content": vec![image(); 20]})).images.len(), ToolImage::MAX_PER_RESULT);
        let url = format!("data:image/png;base64,{PNG}");
        let url_safe = PNG.replace('+', "-").replace('/', "_");
        for block in [
            json!({"type": "image", "mimeType": "image/png", "data": url}),
            json!({"type": "image", "data": url}),
            json!({"type": "image", "mimetype": "IMAGE/PNG", "data": PNG}),
            json!({"type": "image", "mime_type": "image/png", "data": url_safe}),
        ] {
            let read = output(json!({"content": [block.clone()]}));
            assert_eq!(read.images, output(json!({"content": [image()]})).images, "{block}");
        }
        for (mime_type, data) in [("image/tiff", PNG), ("image/png", "no base64!"), ("", PNG)] {
            let read = output(json!({"content": [{"type": "image", "mimeType": mime_type, "data": data}]}));
            assert!(read.images.is_empty() && read.value.to_string().contains("cannot be shown"), "{mime_type}");
        }
    }

    #[test]
    fn a_structure_that_is_too_long_does_not_hide_the_words() {
        let long: Vec<_> = (0..1_000).collect();
        let value = output(json!({"content": [text("1000 numbers")], "structuredContent": {"all": long}})).value;
        assert!(value.as_str().unwrap().starts_with("1000 numbers\n[structured data of"), "{value}");
    }

    #[test]
    fn failures_say_why() {
        let error = |result: Value| match read_result(result, 1_000) {
            Err(ToolError::Failed(why) | ToolError::ServiceFailed(why)) => why,
            _ => panic!("it is a failure"),
        };
        assert_eq!(error(json!({"isError": true, "content": [text("no")]})), "no");
        assert_eq!(error(json!({"isError": true, "structuredContent": {"why": 7}})), "{\"why\":7}");
        assert!(error(json!({"isError": true})).contains("did not say why"));
        for said in [json!(1), json!(1.0), json!("True"), json!("true"), json!("1")] {
            assert_eq!(error(json!({"isError": said, "content": [text("no")]})), "no");
        }
        for said in [json!(null), json!(0), json!(false), json!("False"), json!("")] {
            assert_eq!(output(json!({"isError": said, "content": [text("done")]})).value, json!("done"));
        }
        assert!(error(json!({"resultType": "input_required", "inputRequests": {}})).contains("asked the user"));
    }
}
