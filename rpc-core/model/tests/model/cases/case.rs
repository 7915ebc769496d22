//! The format of a case file.

use crate::server::{Server, Step, prompt};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use threadline_model::config::{ModelParameters, OpenAiConfig};
use threadline_model::dialect::DialectOverrides;
use threadline_model::{AttachedFile, FileContent, Message, ModelRequest, ToolCall, ToolSpec, UserInput};
use threadline_schema::ids::AttachmentId;

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// Path below `tests/cases`, without the extension.
    #[serde(skip)]
    pub(super) name: String,
    /// What the server does, and what is right.
    pub(super) about: String,
    /// Where it was seen.
    #[serde(rename = "source")]
    _source: Option<String>,
    #[serde(default)]
    pub(super) request: Request,
    #[serde(default)]
    pub(super) client: Client,
    /// The server's part: the n-th request gets the n-th of these. There must be no further request.
    pub(super) attempts: Vec<Attempt>,
    pub(super) expect: Expect,
}

/// What the agent asks the model. One message of one word, if nothing is given.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    model: Option<String>,
    #[serde(default)]
    messages: Vec<PromptMessage>,
    #[serde(default)]
    tools: Vec<Tool>,
    tool_choice: Option<String>,
    temperature: Option<f64>,
    max_tokens: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, tag = "role", rename_all = "lowercase")]
enum PromptMessage {
    System {
        text: String,
    },
    User {
        text: String,
        /// `data:` URLs.
        #[serde(default)]
        images: Vec<String>,
    },
    Assistant {
        #[serde(default)]
        text: String,
        #[serde(default)]
        calls: Vec<PromptCall>,
    },
    Tool {
        call_id: String,
        text: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PromptCall {
    id: String,
    name: String,
    arguments: String,
    /// What the server wants back, as JSON text: `{"model": "...", "call": {...}, "message": {...}}`.
    echo: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tool {
    name: String,
    #[serde(default)]
    description: String,
    /// JSON Schema, as JSON text.
    parameters: String,
}

/// Settings of the client.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Client {
    model: Option<String>,
    /// As `MODEL_DIALECT`.
    dialect: Option<String>,
    max_attempts: Option<u32>,
    token_timeout_ms: Option<u64>,
}

/// One request and its response.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Attempt {
    /// JSON that the body of the request must contain: its objects can have more names.
    pub(super) request: Option<String>,
    /// JSON pointers to what the body of the request must not contain.
    #[serde(default)]
    pub(super) absent: Vec<String>,
    #[serde(default = "default_status")]
    status: u16,
    /// Header lines of the response.
    #[serde(default)]
    headers: Vec<String>,
    /// Lines that each become the data of one event.
    chunks: Option<String>,
    /// The body as text, for everything that is not a sequence of events.
    body: Option<String>,
    /// The body as bytes: each character is the byte of its number, up to U+00FF.
    bytes: Option<String>,
    /// A whole response in `tests/fixtures/upstream`.
    recording: Option<String>,
    /// Pause after each line of `chunks`.
    #[serde(default)]
    pause_ms: u64,
    #[serde(default)]
    end: End,
}

/// How the response ends.
#[derive(Debug, Deserialize, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum End {
    /// As it should.
    #[default]
    Complete,
    /// The connection breaks.
    Broken,
    /// The server sends nothing more and leaves the connection open.
    Hanging,
}

/// What the client must make of it.
#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    #[serde(default)]
    pub(super) text: String,
    #[serde(default)]
    pub(super) thoughts: String,
    #[serde(default)]
    pub(super) calls: Vec<ExpectedCall>,
    /// As `url title@end`.
    #[serde(default)]
    pub(super) citations: Vec<String>,
    /// Tokens read and written.
    pub(super) usage: Option<[u64; 2]>,
    /// `stop`, `tool_calls`, `length`, `content_filter` or `refusal`.
    pub(super) finish: Option<String>,
    /// Kind of the error, with the status if it has one.
    pub(super) error: Option<String>,
    /// Part of the error's text in the log.
    pub(super) error_contains: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedCall {
    /// Any, if nothing is given.
    pub(super) id: Option<String>,
    pub(super) name: String,
    pub(super) arguments: String,
    /// What goes back with the call, as JSON text; any, if nothing is given.
    pub(super) echo: Option<String>,
}

fn default_status() -> u16 {
    200
}

impl Case {
    /// Reads all files.
    pub(super) fn all() -> Vec<Self> {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases"));
        let mut folders = vec![root.to_owned()];
        let mut files: Vec<PathBuf> = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files.sort();
        files.iter().map(|path| Self::read(root, path)).collect()
    }

    fn read(root: &Path, path: &Path) -> Self {
        let name = path.strip_prefix(root).unwrap().with_extension("").display().to_string();
        let text = std::fs::read_to_string(path).unwrap();
        let case: Self = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!case.attempts.is_empty(), "{name}: no attempts");
        Self { name, ..case }
    }
}

impl Client {
    pub(super) fn config(&self, server: &Server) -> OpenAiConfig {
        let config = server.config();
        OpenAiConfig {
            model: self.model.clone().unwrap_or(config.model),
            dialect: self.dialect.as_deref().map(|text| Arc::new(DialectOverrides::parse(text).unwrap())),
            max_attempts: self.max_attempts.unwrap_or(3),
            token_timeout: self.token_timeout_ms.map_or(config.token_timeout, Duration::from_millis),
            ..config
        }
    }
}

impl Request {
    pub(super) fn build(&self) -> ModelRequest {
        let Self { model, messages, tools, tool_choice, temperature, max_tokens } = self;
        let prompt = prompt();
        let parameters =
            ModelParameters { temperature: *temperature, max_tokens: *max_tokens, ..ModelParameters::default() };
        ModelRequest {
            model: model.as_deref().map(Into::into),
            parameters: parameters.into(),
            messages: match messages.is_empty() {
                true => prompt.messages.clone(),
                false => messages.iter().map(PromptMessage::build).collect(),
            },
            tools: tools.iter().map(Tool::build).collect(),
            tool_choice: tool_choice.as_deref().map(Into::into),
            ..prompt
        }
    }
}

impl PromptMessage {
    fn build(&self) -> Message {
        match self {
            Self::System { text } => Message::System(text.clone()),
            Self::User { text, images } => Message::User(UserInput {
                text: text.clone(),
                attachments: images.iter().map(|url| image(url)).collect(),
            }),
            Self::Assistant { text, calls } => Message::Assistant {
                text: text.clone(),
                tool_calls: calls
                    .iter()
                    .map(|PromptCall { id, name, arguments, echo }| ToolCall {
                        id: id.clone(),
                        name: name.clone(),
                        arguments: arguments.clone(),
                        echo: echo.as_deref().map(|echo| Box::new(serde_json::from_str(echo).unwrap())),
                    })
                    .collect(),
            },
            Self::Tool { call_id, text } => Message::Tool { call_id: call_id.clone(), content: text.clone() },
        }
    }
}

fn image(url: &str) -> AttachedFile {
    AttachedFile {
        id: AttachmentId::nil(),
        name: "image.png".to_owned(),
        mime_type: "image/png".to_owned(),
        content: FileContent::Image(url.into()),
    }
}

impl Tool {
    fn build(&self) -> ToolSpec {
        let Self { name, description, parameters } = self;
        let parameters = RawValue::from_string(parameters.clone()).unwrap();
        ToolSpec { name: name.clone(), description: description.clone(), parameters: parameters.into() }
    }
}

impl Attempt {
    /// Returns what the server sends.
    pub(super) fn script(&self) -> Vec<Step> {
        if let Some(recording) = &self.recording {
            return vec![Step::Send(crate::recordings::bytes_of(recording)), Step::Close];
        }
        let Self { status, headers, pause_ms, end, .. } = self;
        let is_chunked = *end == End::Broken;
        let mut head = format!("HTTP/1.1 {status} Status\r\n");
        for header in headers.iter().map(String::as_str).chain(is_chunked.then_some("transfer-encoding: chunked")) {
            head.push_str(header);
            head.push_str("\r\n");
        }
        if !headers.iter().any(|header| header.to_ascii_lowercase().starts_with("content-type:")) {
            head.push_str("content-type: text/event-stream\r\n");
        }
        let mut script = vec![Step::Send((head + "\r\n").into_bytes())];
        for part in self.parts() {
            script.push(Step::Send(if is_chunked {
                [format!("{:x}\r\n", part.len()).as_bytes(), &part, b"\r\n"].concat()
            } else {
                part
            }));
            script.extend((*pause_ms > 0).then_some(Step::Pause(Duration::from_millis(*pause_ms))));
        }
        script.push(if *end == End::Hanging { Step::Hang } else { Step::Close });
        script
    }

    /// Returns the body of a successful response that ends as it should and in one go.
    pub(super) fn event_stream(&self) -> Option<Vec<u8>> {
        let is_plain = self.status == 200 && self.end == End::Complete && self.recording.is_none();
        is_plain.then(|| self.parts().concat())
    }

    fn parts(&self) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        if let Some(chunks) = &self.chunks {
            let lines = chunks.lines().filter(|line| !line.trim().is_empty());
            parts.extend(lines.map(|line| format!("data: {line}\n\n").into_bytes()));
        }
        parts.extend(self.body.clone().map(String::into_bytes));
        parts.extend(self.bytes.as_deref().map(latin1));
        parts
    }
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|char| u8::try_from(u32::from(char)).expect("`bytes` goes up to U+00FF")).collect()
}
