//! The table for people: a Markdown reference, a page, and a list for the command line.

use crate::chatkit::requests;
use crate::fields::{Field, Kind, Place, Row, table};
use crate::openapi::{errors, title_case};
use crate::rule::{Does, Then};
use std::fmt::Write;
use threadline_schema::ErrorCode;

/// The text of `docs/REST.md`.
pub fn rest_markdown() -> String {
    let mut out = String::from(INTRO);
    for row in table() {
        let method = row.rule.method().map_or_else(|| "-".to_owned(), |method| format!("`{}`", method.name));
        let (verb, path) = (row.rule.verb.name(), row.rule.path);
        line(&mut out, &format!("| {verb} | `{path}` | {method} | {} |", row.rule.summary()));
    }
    out.push_str("\n## Calls\n");
    for row in table().iter().filter(|row| row.rule.access().is_some()) {
        section(&mut out, row);
    }
    out.push_str("\n## Errors\n\n| code | status | JSON-RPC | meaning |\n| --- | --- | --- | --- |\n");
    for code in ErrorCode::ALL {
        let (status, rpc, meaning) = (code.http_status(), code.rpc_code(), code.meaning().trim());
        line(&mut out, &format!("| `{code}` | {status} | {rpc} | {meaning} |"));
    }
    out
}

/// The table as aligned text, for `threadline routes`.
pub fn routes_text() -> String {
    let width = table().iter().map(|row| row.rule.path.len()).max().unwrap_or_default();
    let mut out = String::new();
    for row in table() {
        let method = row.rule.method().map_or("-", |method| method.name);
        let stream = if row.rule.streams().is_some() { " (SSE)" } else { "" };
        line(&mut out, &format!("{:<6} {:<width$}  {method}{stream}", row.rule.verb.name(), row.rule.path));
    }
    out
}

/// The table as a page without anything to load.
pub(crate) fn docs_html() -> String {
    let mut out = String::from(PAGE_HEAD);
    for row in table() {
        let (verb, path) = (row.rule.verb.name(), escape(row.rule.path));
        let lock = if row.rule.needs_token() { " <small>token</small>" } else { "" };
        line(&mut out, &format!("<section><h2><b>{verb}</b> <code>{path}</code>{lock}</h2>"));
        line(&mut out, &format!("<p>{}</p>", prose(&row.rule.description())));
        let given: Vec<_> = row.fields.iter().flat_map(given).collect();
        if !given.is_empty() {
            out.push_str("<table>");
            for [name, place, kind, doc] in given {
                let (name, doc) = (escape(&name), prose(&doc));
                line(&mut out, &format!("<tr><td><code>{name}</code><td>{place}<td>{kind}<td>{doc}</tr>"));
            }
            out.push_str("</table>");
        }
        out.push_str("</section>\n");
    }
    out.push_str("<h1>Errors</h1><table>");
    for code in ErrorCode::ALL {
        let meaning = prose(code.meaning().trim());
        line(&mut out, &format!("<tr><td>{}<td><code>{code}</code><td>{meaning}</tr>", code.http_status()));
    }
    out.push_str("</table></html>\n");
    out
}

const INTRO: &str = "# REST API

Generated from `rest-gateway/src/rules.rs`; edit that, then run the test that writes this file.

Every request with a token sends `Authorization: Bearer <token>`. Replies are `{\"success\":true,\"data\":...,\"meta\"?:...}` or
`{\"success\":false,\"error\":{\"code\",\"message\",\"retry_after\"?}}`; the health checks keep a form of their own. Every answer carries
`X-Request-Id`; limited ones carry `X-RateLimit-Limit`, `-Remaining` and `-Reset`.

Streams are Server-Sent Events: `id: RUN_ID:SEQ` and `data:` with one JSON event, a comment every 15 s of silence,
`data: [DONE]` at the end. Text arrives as `{\"type\":\"thread.item.content.part.delta\",\"item_id\",\"content_index\",\"delta\"}`. The event
before `[DONE]` says how the run ended: `run.completed`, `run.failed`, `run.cancelled` or `run.interrupted`. If it is missing, the
connection to the run was lost: go on with the last id as `Last-Event-ID`.

The stream of a session goes on from run to run. It begins with `: ok` and, for a reader without a cursor, an `id:` without an
event, to come back with if nothing else arrives; what is no event of a run (`thread.snapshot`, `thread.deleted`, and
`thread.updated` or `thread.item.replaced` for what happens beside runs) has no id. `[DONE]` comes after
`thread.deleted`, or after an `error` that says why the stream ends.

## Routes

| verb | path | method | |
| --- | --- | --- | --- |
";

const PAGE_HEAD: &str =
    "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>
<title>Threadline REST API</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h2{font-size:1rem;margin:1.5rem 0 0}p{margin:.2rem 0;white-space:pre-line}small{color:#777}
table{border-collapse:collapse}td{padding:.1rem 1rem .1rem 0;vertical-align:top}</style>
<h1>Threadline REST API</h1><p>The same for programs: <a href=/openapi.json>/openapi.json</a></p>
";

fn section(out: &mut String, row: &Row) {
    line(out, &format!("\n### {} {}\n\n{}\n", row.rule.verb.name(), row.rule.path, row.rule.description()));
    let given: Vec<_> = row.fields.iter().flat_map(given).collect();
    if !given.is_empty() {
        line(out, "| param | in | type | |\n| --- | --- | --- | --- |");
        for [name, place, kind, doc] in given {
            line(out, &format!("| `{name}` | {place} | {kind} | {} |", doc.replace('|', "\\|")));
        }
        out.push('\n');
    }
    if row.rule.message.is_some() {
        line(
            out,
            "Body: `{\"message\":{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"...\"}],\
             \"attachments\"?:[\"ID\"]}}`\n",
        );
    }
    if row.rule.takes_a_file() {
        line(out, "Body: the file.\n");
    }
    if row.rule.speaks_chatkit() {
        line(
            out,
            "Body: `{\"type\":\"...\",\"params\":{...}}`\n\n| type | params | answered with |\n| --- | --- | --- |",
        );
        for request in requests() {
            request_line(out, request);
        }
        out.push('\n');
    }
    let answer = match &row.rule.does {
        Does::Rpc { then: Then::StreamRun { .. }, .. } => {
            "a stream of events; with `Accept: application/json` the finished message. A run that fails before it says \
             anything is an error, not a stream"
        }
        Does::Rpc { then: Then::Stream | Then::StreamThread, .. } => "a stream of events",
        Does::Rpc { then: Then::GiveFile, .. } => "the file",
        Does::ChatKit | Does::Rpc { then: Then::StreamChatKit { .. }, .. } => {
            "JSON or a stream of ChatKit's events, as the type asks"
        }
        Does::Rpc { then: Then::Reply(_) | Then::TakeFile(_), .. } | Does::Serve(_) => "JSON",
    };
    let mut codes: Vec<_> = errors(row.rule).iter().map(|code| format!("`{code}`")).collect();
    codes.sort();
    line(out, &format!("Answers {}: {answer}. Errors: {}.", row.rule.status, codes.join(", ")));
}

/// A request type of ChatKit's endpoint.
fn request_line(out: &mut String, row: &Row) {
    let Some(method) = row.rule.method() else { return };
    let params = row.fields.iter().filter(|field| field.place == Place::Body);
    let params: Vec<_> =
        params.map(|field| format!("`{}`{}", field.name, if field.required { "" } else { "?" })).collect();
    let answer = match &row.rule.does {
        Does::Rpc { then: Then::StreamChatKit { .. }, .. } => "events",
        _ => "JSON",
    };
    line(out, &format!("| `{}` | {} | {answer} |", method.name, params.join(", ")));
}

/// What the client gives for a param: name, place, type, meaning, once per name. Nothing for what it does not give.
fn given(field: &Field) -> Vec<[String; 4]> {
    let kind = match field.kind {
        Kind::Uuid => "UUID",
        Kind::Unsigned => "integer",
        Kind::Boolean => "boolean",
        Kind::Text => "string",
        Kind::Json => "JSON",
    };
    let entry = |name: &str, place: &str, doc: &str| {
        [name.to_owned(), place.to_owned(), kind.to_owned(), doc.replace('\n', " ")]
    };
    let needed = if field.required { ", required" } else { "" };
    match &field.place {
        Place::Path(variables) => variables.iter().map(|name| entry(name, "path", field.doc_of(name))).collect(),
        Place::Header(name) => vec![entry(&title_case(name), "header", &field.doc())],
        Place::Query(None) => vec![entry(&field.name, &format!("query{needed}"), &field.doc())],
        Place::Query(Some(header)) => {
            let place = format!("query, or header `{}`", title_case(header));
            vec![entry(&field.name, &place, &field.doc())]
        }
        Place::Body => vec![entry(&field.name, &format!("body{needed}"), &field.doc())],
        Place::Message | Place::File | Place::Fixed(_) | Place::Withheld => Vec::new(),
    }
}

fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{text}");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Doc text on a page: what stands between backticks is code.
fn prose(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let marked = parts.map(|(index, part)| match (index % 2, escape(part)) {
        (0, words) => words,
        (_, code) => format!("<code>{code}</code>"),
    });
    marked.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backticks_become_code_and_markup_stays_text() {
        assert_eq!(prose("answers `A<B`, see <x>"), "answers <code>A&lt;B</code>, see &lt;x&gt;");
    }

    #[test]
    fn every_row_and_every_error_is_in_every_document() {
        let (markdown, page, routes) = (rest_markdown(), docs_html(), routes_text());
        assert_eq!(routes.lines().count(), table().len());
        for row in table() {
            let path = row.rule.path;
            assert!(markdown.contains(&format!("| {} | `{path}` |", row.rule.verb.name())), "{path}");
            assert!(page.contains(&format!("<b>{}</b> <code>{path}</code>", row.rule.verb.name())), "{path}");
        }
        for code in ErrorCode::ALL {
            assert!(markdown.contains(&format!("| `{code}` |")) && page.contains(&format!("<code>{code}</code>")));
        }
    }

    #[test]
    fn params_are_listed_where_they_go() {
        let markdown = rest_markdown();
        assert!(markdown.contains("| `limit` | query | integer |"));
        assert!(markdown.contains("| `session_id` | path | UUID | The session. |"));
        assert!(markdown.contains("| `title` | body, required | string |"));
        assert!(!markdown.contains("include_tool_calls"), "what a client cannot give is not offered");
    }

    #[test]
    fn the_page_cannot_load_or_run_anything() {
        let page = docs_html();
        for tag in ["<script", "<img", "<link", "src=", "http://", "https://"] {
            assert!(!page.contains(tag), "the page has {tag}");
        }
    }
}
