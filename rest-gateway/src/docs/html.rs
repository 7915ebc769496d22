//! The API reference as a page. It loads nothing and runs nothing.

use super::errors::remedy;
use super::params::{ParamDoc, param_docs};
use super::write_line;
use crate::operation::operations;
use threadline_schema::ErrorCode;

const HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>
<title>Threadline REST API</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h2{font-size:1rem;margin:1.5rem 0 0}p{margin:.2rem 0;white-space:pre-line}small{color:#666}h2,p{overflow-wrap:anywhere}
table{border-collapse:collapse}td{padding:.1rem 1rem .1rem 0;vertical-align:top}tr:target{background:#fd04}
@media(max-width:44rem){table,tbody,tr,td{display:block}tr{padding:.3rem 0}td{overflow-wrap:anywhere}}</style>
<main><h1>Threadline REST API</h1><p>With search and requests to try out: <a href=/docs/api>/docs/api</a>.
The same for programs: <a href=/openapi.json>/openapi.json</a></p>
";

/// Returns the page.
pub(crate) fn docs_html() -> String {
    let mut out = String::from(HEAD);
    for operation in operations() {
        let rule = operation.rule;
        let (verb, path) = (rule.verb.name(), escape(rule.path));
        let token = if rule.requires_token() { " <small>token</small>" } else { "" };
        write_line(&mut out, &format!("<section><h2><b>{verb}</b> <code>{path}</code>{token}</h2>"));
        write_line(&mut out, &format!("<p>{}</p>", doc_to_html(&rule.description())));
        let params = param_docs(operation);
        if !params.is_empty() {
            out.push_str("<table>");
            for ParamDoc { name, location, type_name, doc } in params {
                let (name, doc) = (escape(&name), doc_to_html(&doc));
                write_line(
                    &mut out,
                    &format!("<tr><td><code>{name}</code><td>{location}<td>{type_name}<td>{doc}</tr>"),
                );
            }
            out.push_str("</table>");
        }
        out.push_str("</section>\n");
    }
    out.push_str("<h1>Errors</h1><table>");
    for code in ErrorCode::ALL {
        let (meaning, remedy) = (doc_to_html(code.meaning().trim()), doc_to_html(remedy(*code)));
        let status = code.http_status();
        write_line(
            &mut out,
            &format!("<tr id={code}><td>{status}<td><code>{code}</code><td>{meaning}<br><small>{remedy}</small></tr>"),
        );
    }
    out.push_str("</table></main></html>\n");
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Returns the HTML of a doc comment: text between backticks becomes code.
fn doc_to_html(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let html = parts.map(|(index, part)| match (index % 2, escape(part)) {
        (0, text) => text,
        (_, code) => format!("<code>{code}</code>"),
    });
    html.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backticks_become_code_and_markup_stays_text() {
        assert_eq!(doc_to_html("answers `A<B`, see <x>"), "answers <code>A&lt;B</code>, see &lt;x&gt;");
    }

    #[test]
    fn the_page_cannot_load_or_run_anything() {
        let page = docs_html();
        for markup in ["<script", "<img", "<link", "src=", "http://", "https://"] {
            assert!(!page.contains(markup), "the page has {markup}");
        }
    }
}
