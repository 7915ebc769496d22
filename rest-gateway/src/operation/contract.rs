//! What must hold for the tables as a whole. A failure names the row.

use super::{Operation, ParamSource, ParamType, chatkit_operations, operations};
use crate::rule::{Preset, Verb};
use std::collections::{BTreeMap, HashSet};
use threadline_schema::rpc;

/// Methods without a row, and why.
const RPC_ONLY: &[(&str, &str)] = &[("rpc.discover", "describes the JSON-RPC endpoint; REST has /openapi.json")];

fn name(operation: &Operation) -> String {
    format!("{} {}", operation.rule.verb.name(), operation.rule.path)
}

#[test]
fn verb_and_path_are_unique() {
    let mut seen = HashSet::new();
    for operation in operations() {
        assert!(seen.insert((operation.rule.verb, operation.rule.path)), "{} is there twice", name(operation));
    }
}

#[test]
fn operation_ids_are_unique_and_every_row_has_a_summary() {
    let mut seen = HashSet::new();
    for operation in operations() {
        let id = operation.rule.operation_id();
        assert!(!id.is_empty() && seen.insert(id.clone()), "{}: id {id:?} is not unique", name(operation));
        assert!(!operation.rule.summary().is_empty(), "{} has no summary", name(operation));
    }
}

#[test]
fn every_variable_gives_one_param_and_every_param_has_one_source() {
    for operation in operations() {
        let (rule, name) = (operation.rule, name(operation));
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for param in &operation.params {
            *counts.entry(param.name.as_str()).or_default() += 1;
        }
        assert!(counts.values().all(|count| *count == 1), "{name}: a param is there twice");
        for variable in rule.variables() {
            let has_variable = |source: &ParamSource| matches!(source, ParamSource::Path(v) if v.contains(&variable));
            let params: Vec<_> = operation.params.iter().filter(|param| has_variable(&param.source)).collect();
            assert_eq!(params.len(), 1, "{name}: {{{variable}}} gives no param");
            let expected = if rule.access().is_some() { ParamType::Uuid } else { ParamType::String };
            assert_eq!(params[0].param_type, expected, "{name}: {{{variable}}} has another type");
        }
        for (variable, param) in rule.renames {
            assert!(rule.variables().any(|v| v == *variable), "{name}: no variable {variable} to rename");
            assert!(counts.contains_key(param), "{name}: no param {param} for a variable");
        }
        for (param, preset) in rule.presets {
            assert!(counts.contains_key(param), "{name}: no param {param} to preset");
            if let Preset::Fixed(json) | Preset::Default(json) = preset {
                assert!(serde_json::from_str::<serde_json::Value>(json).is_ok(), "{name}: {json} is not JSON");
            }
        }
        if let Some(message) = rule.message {
            assert!(counts.contains_key(message), "{name}: no param {message} for the message");
        }
    }
}

#[test]
fn body_params_need_a_verb_with_a_body_and_text_params_are_no_json() {
    for operation in operations() {
        let (rule, name) = (operation.rule, name(operation));
        for param in &operation.params {
            let (in_body, in_text) = match param.source {
                ParamSource::BodyMember | ParamSource::BodyMessage | ParamSource::BodyFile => (true, false),
                ParamSource::Path(_) | ParamSource::Header(_) | ParamSource::Query(_) => (false, true),
                ParamSource::Fixed(_) | ParamSource::Omitted => (false, false),
            };
            assert!(!in_body || rule.verb.has_body(), "{name}: {} in a body", param.name);
            assert!(!in_text || param.param_type != ParamType::Json, "{name}: {} cannot be text", param.name);
            let is_omitted = param.source == ParamSource::Omitted;
            assert!(!is_omitted || !param.required, "{name}: {} is omitted and required", param.name);
        }
        assert!(rule.message.is_none() || rule.verb == Verb::Post, "{name}: a message is posted");
    }
}

#[test]
fn every_method_has_a_row_or_a_reason() {
    for method in rpc::all() {
        let has_row = operations().iter().any(|op| op.rule.method().is_some_and(|m| m.name == method.name));
        let has_reason = RPC_ONLY.iter().any(|(name, _)| *name == method.name);
        assert!(has_row != has_reason, "{} needs either a row or a reason", method.name);
    }
    for (method, _) in RPC_ONLY {
        assert!(rpc::find(method).is_some(), "{method} is listed and does not exist");
    }
}

#[test]
fn every_request_type_of_chatkit_is_a_method() {
    for operation in chatkit_operations() {
        let method = operation.rule.method();
        assert!(method.is_some_and(|method| rpc::find(method.name).is_some()), "a request type without a method");
    }
}
