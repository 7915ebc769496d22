//! The process of a server, which speaks over its standard input and output.

use super::message::{Expected, MAX_MESSAGE_BYTES, id_of_cut_message, read_messages, too_long};
use rmcp::RoleClient;
use rmcp::model::{ClientJsonRpcMessage, ClientRequest, ServerJsonRpcMessage};
use rmcp::transport::Transport;
use std::collections::VecDeque;
use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Time for a process to exit after its standard input was closed.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time to read what a process wrote before it ended. Its children can hold the other end of the pipe.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// How much of the start and the end of a message that is too long is kept, to find out which request it answers.
const KEPT_START: usize = 4096;
const KEPT_END: usize = 256;

/// The transport over the standard input and output of a process.
pub(super) struct StdioTransport {
    server: Arc<str>,
    child: Child,
    /// `None` after the end. Writers wait for each other, so that messages are not mixed.
    stdin: Arc<Mutex<Option<ChildStdin>>>,
    lines: LineReader<ChildStdout>,
    has_exited: bool,
    expected: Expected,
    /// Messages that came in one line with the one that was passed on last.
    queue: VecDeque<ServerJsonRpcMessage>,
    /// The beginning of a message that has several lines.
    unfinished: Unfinished,
    noise: Noise,
}

/// What a program wrote to its standard output besides messages. It is logged once.
#[derive(Default)]
struct Noise {
    lines: u64,
}

impl StdioTransport {
    /// Starts the process. Returns its standard error too.
    pub(super) fn spawn(server: Arc<str>, mut command: Command) -> io::Result<(Self, Option<ChildStderr>)> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let stdout = stdout.ok_or_else(|| io::Error::other("it has no standard output"))?;
        let transport = Self {
            server,
            child,
            stdin: Arc::new(Mutex::new(stdin)),
            lines: LineReader::new(stdout),
            has_exited: false,
            expected: Expected::default(),
            queue: VecDeque::new(),
            unfinished: Unfinished::default(),
            noise: Noise::default(),
        };
        Ok((transport, stderr))
    }

    /// Returns the next line; `None` at the end. Cancel-safe.
    async fn next_line(&mut self) -> Option<Line> {
        if !self.has_exited {
            tokio::select! {
                biased;
                line = self.lines.next() => return line.ok().flatten(),
                _ = self.child.wait() => self.has_exited = true,
            }
        }
        timeout(DRAIN_TIMEOUT, self.lines.next()).await.ok()?.ok().flatten()
    }

    fn read_line(&mut self, line: &[u8]) {
        let mut messages = read_messages(line, &self.expected);
        if messages.is_some() {
            // What came before was not the beginning of a message.
            self.unfinished = Unfinished::default();
        } else if let Some(text) = self.unfinished.add(line) {
            messages = read_messages(&text, &self.expected);
        } else if !self.unfinished.text.is_empty() {
            return;
        }
        match messages {
            Some(messages) => self.queue.extend(messages),
            None => self.skip_noise(),
        }
    }

    fn skip_noise(&mut self) {
        if self.noise.lines == 0 {
            tracing::warn!(
                server = &*self.server,
                "MCP server writes lines to its standard output that are not messages; they are skipped"
            );
        }
        self.noise.lines += 1;
    }
}

impl Transport<RoleClient> for StdioTransport {
    type Error = io::Error;

    fn send(&mut self, message: ClientJsonRpcMessage) -> impl Future<Output = io::Result<()>> + Send + 'static {
        if let ClientJsonRpcMessage::Request(request) = &message
            && matches!(request.request, ClientRequest::InitializeRequest(_))
        {
            self.expected.initialize = Some(request.id.clone());
        }
        let stdin = self.stdin.clone();
        async move {
            let mut line = serde_json::to_vec(&message)?;
            line.push(b'\n');
            let mut stdin = stdin.lock().await;
            let stdin = stdin.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            stdin.write_all(&line).await?;
            stdin.flush().await
        }
    }

    async fn receive(&mut self) -> Option<ServerJsonRpcMessage> {
        loop {
            if let Some(message) = self.queue.pop_front() {
                return Some(message);
            }
            match self.next_line().await? {
                Line::Whole(line) if line.iter().all(u8::is_ascii_whitespace) => {}
                Line::Whole(line) => self.read_line(&line),
                Line::TooLong { start, end } => match id_of_cut_message(&start, &end) {
                    Some(id) => {
                        tracing::warn!(server = &*self.server, "MCP server sent an answer that is too long to be read");
                        return Some(too_long(id));
                    }
                    None => self.skip_noise(),
                },
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        // A writer can hold the lock for as long as the process does not read.
        if let Ok(mut stdin) = self.stdin.try_lock() {
            stdin.take();
        }
        if timeout(EXIT_TIMEOUT, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        if self.noise.lines > 1 {
            tracing::info!(server = &*self.server, lines = self.noise.lines, "lines of an MCP server were skipped");
        }
        Ok(())
    }
}

/// The beginning of an object that is written on several lines, such as indented JSON.
#[derive(Default)]
struct Unfinished {
    text: Vec<u8>,
    /// How many lists and objects are open.
    depth: usize,
    is_in_string: bool,
    is_escaped: bool,
}

impl Unfinished {
    /// Adds a line. Returns the text if the object is complete. A line that begins none is not kept.
    fn add(&mut self, line: &[u8]) -> Option<Vec<u8>> {
        let is_first = self.text.is_empty();
        if is_first && !line.trim_ascii_start().starts_with(b"{") {
            return None;
        }
        for byte in line {
            match byte {
                _ if self.is_in_string => {
                    self.is_in_string = *byte != b'"' || self.is_escaped;
                    self.is_escaped = *byte == b'\\' && !self.is_escaped;
                }
                b'"' => self.is_in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        self.text.extend_from_slice(line);
        self.text.push(b'\n');
        if self.depth > 0 && self.text.len() <= MAX_MESSAGE_BYTES {
            return None;
        }
        let Self { text, depth, .. } = std::mem::take(self);
        (!is_first && depth == 0).then_some(text)
    }
}

/// A line without its end.
#[derive(Debug, PartialEq)]
enum Line {
    Whole(Vec<u8>),
    /// The start and the end of a line that is too long to be kept.
    TooLong {
        start: Vec<u8>,
        end: Vec<u8>,
    },
}

/// Reads lines of limited length.
struct LineReader<R> {
    reader: BufReader<R>,
    max_bytes: usize,
    /// The line so far, or the start of one that is too long.
    line: Vec<u8>,
    /// The end of a line that is too long.
    end: Option<Vec<u8>>,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    fn new(reader: R) -> Self {
        Self { reader: BufReader::new(reader), max_bytes: MAX_MESSAGE_BYTES, line: Vec::new(), end: None }
    }

    /// Returns the next line; `None` at the end. Cancel-safe: what was read is kept.
    async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let available = self.reader.fill_buf().await?;
            if available.is_empty() {
                // The last line may lack its end.
                return Ok((!self.line.is_empty()).then(|| take_line(&mut self.line, &mut self.end)));
            }
            let newline = available.iter().position(|byte| *byte == b'\n');
            let part = available.get(..newline.unwrap_or(available.len())).unwrap_or_default();
            match &mut self.end {
                Some(end) => {
                    end.extend_from_slice(part);
                    end.drain(..end.len().saturating_sub(KEPT_END));
                }
                None => self.line.extend_from_slice(part),
            }
            let read = part.len() + usize::from(newline.is_some());
            self.reader.consume(read);
            if self.line.len() > self.max_bytes && self.end.is_none() {
                let end = self.line.split_off(self.line.len() - KEPT_END.min(self.line.len()));
                self.line.truncate(KEPT_START);
                self.line.shrink_to_fit();
                self.end = Some(end);
            }
            if newline.is_some() {
                return Ok(Some(take_line(&mut self.line, &mut self.end)));
            }
        }
    }
}

fn take_line(line: &mut Vec<u8>, end: &mut Option<Vec<u8>>) -> Line {
    let line = std::mem::take(line);
    match end.take() {
        Some(end) => Line::TooLong { start: line, end },
        None => Line::Whole(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_several_lines_is_put_together() {
        let mut unfinished = Unfinished::default();
        let mut add = |line: &str| unfinished.add(line.as_bytes()).map(|text| String::from_utf8(text).unwrap());
        for line in ["Ready", "[info] {", r#"{"level": "info"}"#, "{", r#"  "text": "a } \"","#, r#"  "list": ["#, "]"]
        {
            assert_eq!(add(line), None, "{line}");
        }
        assert_eq!(add("}").unwrap(), "{\n  \"text\": \"a } \\\"\",\n  \"list\": [\n]\n}\n");
        assert_eq!(add("}"), None);
    }

    #[tokio::test]
    async fn long_lines_are_cut_and_the_next_one_is_whole() {
        let long = format!("{}{}{}", "a".repeat(KEPT_START), "x".repeat(100_000), "z".repeat(KEPT_END));
        let text = format!("one\n\n{long}\ntwo\r\n{long}");
        let mut reader = LineReader { max_bytes: 10_000, ..LineReader::new(text.as_bytes()) };
        let cut = || Line::TooLong { start: vec![b'a'; KEPT_START], end: vec![b'z'; KEPT_END] };
        for line in [Line::Whole(b"one".into()), Line::Whole(vec![]), cut(), Line::Whole(b"two\r".into()), cut()] {
            assert_eq!(reader.next().await.unwrap(), Some(line));
        }
        assert_eq!(reader.next().await.unwrap(), None);
    }
}
