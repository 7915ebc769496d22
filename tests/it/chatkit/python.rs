//! ChatKit's package for Python, where there is one to compare with.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use threadline_test_requirements::Requirement;

/// A script of `tests/chatkit` at work.
pub struct Script {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// Starts a script with the interpreter that has the package; `None` when there is no such interpreter.
pub fn script(name: &str, args: &[&str]) -> Option<Script> {
    let python = Requirement::ChatKit.find()?;
    let mut command = Command::new(python);
    command.arg(format!("{}/tests/chatkit/{name}", env!("CARGO_MANIFEST_DIR"))).args(args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("an interpreter");
    let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    Some(Script { child, input, output })
}

impl Script {
    /// Gives it a line and waits for one. Only where the test's runtime has several threads.
    pub fn ask(&mut self, line: &Value) -> Value {
        tokio::task::block_in_place(|| {
            writeln!(self.input, "{line}").unwrap();
            let mut answer = String::new();
            self.output.read_line(&mut answer).unwrap();
            serde_json::from_str(&answer).expect("the script answers with JSON")
        })
    }

    /// What the package's models do not take of a value of ours, or lose; `kind` is one of those that `models.py check`
    /// reads.
    pub fn wrong(&mut self, kind: &str, value: &Value) -> Vec<String> {
        serde_json::from_value(self.ask(&json!({"as": kind, "value": value}))).unwrap()
    }

    /// Closes its input, and waits for its output and its end.
    pub async fn finish(mut self) -> Vec<String> {
        let finishing = tokio::task::spawn_blocking(move || {
            drop(self.input);
            let lines = self.output.lines().collect::<Result<_, _>>().unwrap();
            assert!(self.child.wait().unwrap().success(), "the script has failed");
            lines
        });
        finishing.await.unwrap()
    }
}
