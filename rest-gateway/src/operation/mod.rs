//! Operations: the rows of the tables, each with its parameters.
//!
//! Router, binder and documents all read these, so that what is served and what is documented cannot differ.

#[cfg(test)]
mod contract;
mod errors;
mod param;

pub(crate) use param::{IDEMPOTENCY_KEY, Param, ParamSource, ParamType, header_title};

use crate::chatkit_rules::REQUESTS;
use crate::rule::Rule;
use crate::rules::RULES;
use schemars::SchemaGenerator;
use std::sync::LazyLock;

/// One rule and its parameters.
#[derive(Debug)]
pub(crate) struct Operation {
    /// The rule.
    pub(crate) rule: &'static Rule,
    /// The parameters of its method, ordered by name.
    pub(crate) params: Vec<Param>,
}

impl Operation {
    /// Reads the parameters of a rule from the schema of its method.
    pub(crate) fn new(rule: &'static Rule, generator: &mut SchemaGenerator) -> Self {
        let params =
            if rule.is_chatkit_endpoint() { chatkit_headers(generator) } else { param::params(rule, generator) };
        Self { rule, params }
    }

    /// Returns the parameters that come from this source.
    pub(crate) fn params_from<'a>(&'a self, source: &'a ParamSource) -> impl Iterator<Item = &'a Param> {
        self.params.iter().filter(move |param| param.source == *source)
    }
}

/// Returns the operations of [`RULES`], in the order of the table.
pub(crate) fn operations() -> &'static [Operation] {
    static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(|| for_rules(RULES, &mut SchemaGenerator::default()));
    &OPERATIONS
}

/// Returns the operations of ChatKit's [`REQUESTS`], in the order of the table.
pub(crate) fn chatkit_operations() -> &'static [Operation] {
    static OPERATIONS: LazyLock<Vec<Operation>> =
        LazyLock::new(|| for_rules(REQUESTS, &mut SchemaGenerator::default()));
    &OPERATIONS
}

/// Makes the operations of these rules.
pub(crate) fn for_rules(rules: &'static [Rule], generator: &mut SchemaGenerator) -> Vec<Operation> {
    rules.iter().map(|rule| Operation::new(rule, generator)).collect()
}

/// Returns the headers that at least one request type of ChatKit's endpoint reads, each once. The members of the body
/// depend on the type.
fn chatkit_headers(generator: &mut SchemaGenerator) -> Vec<Param> {
    let mut headers: Vec<Param> = Vec::new();
    for param in REQUESTS.iter().flat_map(|rule| param::params(rule, generator)) {
        if matches!(param.source, ParamSource::Header(_)) && !headers.iter().any(|known| known.name == param.name) {
            headers.push(param);
        }
    }
    headers
}
