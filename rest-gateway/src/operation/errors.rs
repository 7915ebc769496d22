//! The errors that an operation can answer with, for the documents.

use super::Operation;
use crate::chatkit_rules::REQUESTS;
use crate::rule::{Page, Target};
use threadline_schema::ErrorCode;
use threadline_schema::rpc::Access;

impl Operation {
    /// Returns the errors that every operation of this kind has, and those that its rule lists, each once.
    pub(crate) fn errors(&self) -> Vec<ErrorCode> {
        use ErrorCode as E;
        let rule = self.rule;
        let has_variables = rule.variables().next().is_some();
        let Some(access) = rule.access() else {
            // Settings decide which listener serves a page, and a page does not have every file.
            let is_everywhere = matches!(rule.target, Target::Page(Page::Health));
            return if is_everywhere { Vec::new() } else { vec![E::NotFound] };
        };
        let mut codes = vec![E::InvalidRequest, E::InternalError, E::ServiceUnavailable];
        if rule.is_chatkit_endpoint() {
            codes.extend(REQUESTS.iter().flat_map(|request| request.errors));
        }
        match access {
            // A service key or a client token may not have the method in its scope.
            Access::User | Access::Signed | Access::Admin => {
                codes.extend([E::Unauthorized, E::Forbidden, E::RateLimited])
            }
            Access::Public => codes.push(E::RateLimited),
            Access::Probe => {}
        }
        for variable in rule.variables() {
            codes.extend(match variable {
                "session_id" => Some(E::SessionNotFound),
                "thread_id" => Some(E::ThreadNotFound),
                "run_id" => Some(E::RunNotFound),
                "task_id" => Some(E::TaskNotFound),
                "attachment_id" => Some(E::AttachmentNotFound),
                _ => None,
            });
        }
        if has_variables {
            codes.push(E::Forbidden);
        }
        if rule.is_upload() {
            codes.push(E::PayloadTooLarge);
        } else if rule.verb.has_body() {
            codes.extend([E::InvalidJson, E::PayloadTooLarge, E::UnsupportedMediaType]);
        }
        codes.extend(rule.errors);
        without_duplicates(codes)
    }
}

/// Keeps the first of equal errors.
fn without_duplicates(codes: Vec<ErrorCode>) -> Vec<ErrorCode> {
    let mut unique = Vec::with_capacity(codes.len());
    for code in codes {
        if !unique.contains(&code) {
            unique.push(code);
        }
    }
    unique
}
