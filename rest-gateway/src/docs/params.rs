//! The parameters of an operation, as documents list them.

use crate::operation::{Operation, Param, ParamSource, ParamType, header_title};

/// One parameter under one name.
pub(super) struct ParamDoc {
    pub(super) name: String,
    /// Where a client sends it.
    pub(super) location: String,
    pub(super) type_name: &'static str,
    pub(super) doc: String,
}

/// Returns the parameters that a client can send. A parameter of several path variables is there under each name.
pub(super) fn param_docs(operation: &Operation) -> Vec<ParamDoc> {
    operation.params.iter().flat_map(docs_of).collect()
}

fn docs_of(param: &Param) -> Vec<ParamDoc> {
    let type_name = match param.param_type {
        ParamType::Uuid => "UUID",
        ParamType::Unsigned => "integer",
        ParamType::Boolean => "boolean",
        ParamType::String => "string",
        ParamType::Json => "JSON",
    };
    let describe = |name: &str, location: &str, doc: &str| ParamDoc {
        name: name.to_owned(),
        location: location.to_owned(),
        type_name,
        doc: doc.replace('\n', " "),
    };
    let required = if param.required { ", required" } else { "" };
    match &param.source {
        ParamSource::Path(variables) => {
            variables.iter().map(|name| describe(name, "path", param.doc_of_variable(name))).collect()
        }
        ParamSource::Header(name) => vec![describe(&header_title(name), "header", &param.doc())],
        ParamSource::Query(None) => vec![describe(&param.name, &format!("query{required}"), &param.doc())],
        ParamSource::Query(Some(header)) => {
            let location = format!("query, or header `{}`", header_title(header));
            vec![describe(&param.name, &location, &param.doc())]
        }
        ParamSource::BodyMember => vec![describe(&param.name, &format!("body{required}"), &param.doc())],
        ParamSource::BodyMessage | ParamSource::BodyFile | ParamSource::Fixed(_) | ParamSource::Omitted => Vec::new(),
    }
}
