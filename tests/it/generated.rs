//! Generated files that are committed: each is compared with the current output.
//!
//! A file that differs is rewritten, and the test fails once: look at the difference, commit it, run again.

use serde_json::Value;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// Compares a committed file with the wanted text, and rewrites it if it differs.
fn is_current(path: &str, wanted: &str) {
    let file = root().join(path);
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    if found != wanted {
        std::fs::write(&file, wanted).unwrap_or_else(|error| panic!("{path} cannot be written: {error}"));
        panic!("{path} was not current and has been written anew: look at `git diff {path}`, commit it and run again");
    }
}

fn pretty(document: &Value) -> String {
    format!("{document:#}\n")
}

fn meta(name: &str) -> Value {
    let file = root().join("tests/fixtures/meta").join(name);
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn is_valid(validator: &jsonschema::Validator, document: &Value) {
    let problems: Vec<_> =
        validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_rest_reference_is_current() {
    is_current("docs/REST.md", &threadline_gateway::rest_markdown());
}

#[test]
fn the_reference_of_errors_is_current() {
    is_current("docs/ERRORS.md", &threadline_gateway::errors_markdown());
}

#[test]
fn the_rpc_reference_is_current() {
    is_current("docs/RPC.md", &threadline_core::openrpc::markdown());
}

#[test]
fn the_openapi_document_is_current() {
    is_current("docs/openapi.json", &pretty(&threadline_gateway::openapi()));
}

#[test]
fn the_openrpc_document_is_current() {
    is_current("docs/openrpc.json", &pretty(&Value::Object(threadline_core::openrpc::document())));
}

/// Replaces what is between the marks `<!-- NAME: ... -->` and `<!-- /NAME -->` of a document.
fn section_is_current(path: &str, name: &str, wanted: &str) {
    let document = std::fs::read_to_string(root().join(path)).unwrap();
    let (before, rest) = document.split_once(&format!("<!-- {name}:")).expect("where the section begins");
    let (mark, rest) = rest.split_once("-->\n").expect("the end of the mark");
    let (_, after) = rest.split_once(&format!("<!-- /{name} -->")).expect("where the section ends");
    is_current(path, &format!("{before}<!-- {name}:{mark}-->\n\n{wanted}\n<!-- /{name} -->{after}"));
}

#[test]
fn the_settings_in_the_readme_are_current() {
    section_is_current("README.md", "settings", &threadline::config::config_markdown());
}

#[test]
fn the_dialects_in_the_manual_are_current() {
    section_is_current("docs/MODELS.md", "dialects", &threadline_core::model::dialect::markdown());
}

#[test]
fn the_openapi_document_is_valid() {
    let document = threadline_gateway::openapi();
    is_valid(&jsonschema::draft202012::new(&meta("openapi-3.1.json")).unwrap(), &document);
    // The specification's schema leaves JSON Schemas to JSON Schema itself.
    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert!(schemas.len() > 20, "{}", schemas.len());
    for (name, schema) in schemas {
        assert!(jsonschema::draft202012::meta::is_valid(schema), "{name}: {schema}");
    }
}

#[test]
fn the_openrpc_document_is_valid() {
    let document = Value::Object(threadline_core::openrpc::document());
    // OpenRPC leaves JSON Schemas to a schema of its own authors, which is draft 7 under another address.
    let draft7 = |name: &str| {
        let mut schema = meta(name);
        schema.as_object_mut().unwrap().remove("$schema");
        schema
    };
    let mut registry = jsonschema::Registry::new();
    for address in ["https://meta.json-schema.tools", "https://meta.json-schema.tools/"] {
        registry = registry.add(address, draft7("json-schema-tools.json")).unwrap();
    }
    let registry = registry.prepare().unwrap();
    let schema = draft7("openrpc.json");
    let options = jsonschema::options().with_draft(jsonschema::Draft::Draft7).with_registry(&registry);
    is_valid(&options.build(&schema).unwrap(), &document);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas {
        assert!(jsonschema::draft7::meta::is_valid(schema), "{name}: {schema}");
    }
}
