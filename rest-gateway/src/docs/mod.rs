//! The tables for people: a Markdown reference, a page, and a list for the command line.

mod errors;
mod html;
mod markdown;
mod params;

pub use errors::errors_markdown;
pub(crate) use errors::path_of;
pub(crate) use html::docs_html;
pub use markdown::rest_markdown;

use crate::operation::operations;
use std::fmt::Write;

/// Returns all operations as aligned text, for `threadline routes`.
pub fn routes_text() -> String {
    let width = operations().iter().map(|operation| operation.rule.path.len()).max().unwrap_or_default();
    let mut out = String::new();
    for operation in operations() {
        let rule = operation.rule;
        let method = rule.method().map_or("-", |method| method.name);
        let stream = if rule.stream_scope().is_some() { " (SSE)" } else { "" };
        write_line(&mut out, &format!("{:<6} {:<width$}  {method}{stream}", rule.verb.name(), rule.path));
    }
    out
}

fn write_line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use threadline_schema::ErrorCode;

    #[test]
    fn every_operation_and_every_error_is_in_every_document() {
        let (markdown, page, routes) = (rest_markdown(), docs_html(), routes_text());
        assert_eq!(routes.lines().count(), operations().len());
        for operation in operations() {
            let (verb, path) = (operation.rule.verb.name(), operation.rule.path);
            assert!(markdown.contains(&format!("| {verb} | `{path}` |")), "{path}");
            assert!(page.contains(&format!("<b>{verb}</b> <code>{path}</code>")), "{path}");
        }
        for code in ErrorCode::ALL {
            assert!(markdown.contains(&format!("| `{code}` |")) && page.contains(&format!("<code>{code}</code>")));
        }
    }
}
