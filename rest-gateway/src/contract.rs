//! What must hold for the table as a whole. A failure names the row.

use crate::fields::{Kind, Place, Row, table};
use crate::rule::{Preset, Verb};
use std::collections::{BTreeMap, HashSet};
use threadline_schema::rpc;

/// Methods without a row, and why.
const RPC_ONLY: &[(&str, &str)] = &[("rpc.discover", "describes the JSON-RPC endpoint; REST has /openapi.json")];

fn name(row: &Row) -> String {
    format!("{} {}", row.rule.verb.name(), row.rule.path)
}

#[test]
fn verb_and_path_name_one_row() {
    let mut seen = HashSet::new();
    for row in table() {
        assert!(seen.insert((row.rule.verb, row.rule.path)), "{} stands twice", name(row));
    }
}

#[test]
fn operation_ids_are_unique_and_summaries_there() {
    let mut seen = HashSet::new();
    for row in table() {
        let id = row.rule.operation_id();
        assert!(!id.is_empty() && seen.insert(id.clone()), "{}: the operation id {id:?} is not unique", name(row));
        assert!(!row.rule.summary().is_empty(), "{} has no summary", name(row));
    }
}

#[test]
fn every_variable_binds_a_param_and_every_param_is_bound_once() {
    for row in table() {
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for field in &row.fields {
            *places.entry(field.name.as_str()).or_default() += 1;
        }
        assert!(places.values().all(|count| *count == 1), "{}: a param stands twice", name(row));
        for variable in row.rule.variables() {
            let binding = row.fields.iter().filter(|f| matches!(&f.place, Place::Path(v) if v.contains(&variable)));
            let binding: Vec<_> = binding.collect();
            assert_eq!(binding.len(), 1, "{}: {{{variable}}} binds no param", name(row));
            let kind = if row.rule.access().is_some() { Kind::Uuid } else { Kind::Text };
            assert_eq!(binding[0].kind, kind, "{}: {{{variable}}} is of another kind", name(row));
        }
        for (variable, param) in row.rule.binds {
            assert!(row.rule.variables().any(|v| v == *variable), "{}: no variable {variable} to bind", name(row));
            assert!(places.contains_key(param), "{}: no param {param} to bind", name(row));
        }
        for (param, preset) in row.rule.presets {
            assert!(places.contains_key(param), "{}: no param {param} to decide", name(row));
            if let Preset::Fixed(json) | Preset::Default(json) = preset {
                assert!(serde_json::from_str::<serde_json::Value>(json).is_ok(), "{}: {json} is no JSON", name(row));
            }
        }
        if let Some(message) = row.rule.message {
            assert!(places.contains_key(message), "{}: no param {message} for the message", name(row));
        }
    }
}

#[test]
fn only_verbs_with_a_body_take_one_and_only_bodies_carry_json() {
    for row in table() {
        for field in &row.fields {
            let in_body = matches!(field.place, Place::Body | Place::Message | Place::File);
            assert!(!in_body || row.rule.verb.carries_body(), "{}: {} in a body", name(row), field.name);
            let in_text = matches!(field.place, Place::Path(_) | Place::Header(_) | Place::Query(_));
            assert!(!in_text || field.kind != Kind::Json, "{}: {} cannot be text", name(row), field.name);
            let absent = matches!(field.place, Place::Withheld);
            assert!(!absent || !field.required, "{}: {} is withheld and required", name(row), field.name);
        }
        assert!(row.rule.message.is_none() || row.rule.verb == Verb::Post, "{}: a message is posted", name(row));
    }
}

#[test]
fn every_method_has_a_row_or_a_reason() {
    for method in rpc::all() {
        let has_row = table().iter().any(|row| row.rule.method().is_some_and(|m| m.name == method.name));
        let excused = RPC_ONLY.iter().any(|(name, _)| *name == method.name);
        assert!(has_row != excused, "{} needs either a row or a reason", method.name);
    }
    for (method, _) in RPC_ONLY {
        assert!(rpc::find(method).is_some(), "{method} is excused and does not exist");
    }
}
