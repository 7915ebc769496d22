//! Finds the operation of a path and a verb. An unknown path (404) differs from a known path without this verb (405
//! with `Allow`).
//!
//! Paths match exactly: `/x/` is another path than `/x`. A variable matches one segment that is not empty, before it is
//! decoded, so an encoded slash stays part of the value.

use crate::operation::Operation;
use crate::rule::Verb;
use http::HeaderValue;
use std::collections::BTreeMap;

/// Finds the operations of a path.
pub(crate) struct Router {
    paths: matchit::Router<PathItem>,
}

impl Router {
    /// Makes a router of these operations. A path that conflicts with another is logged and left out; a test of the
    /// table makes sure that none does.
    pub(crate) fn new(operations: impl IntoIterator<Item = &'static Operation>) -> Self {
        let mut by_path: BTreeMap<&str, Vec<&'static Operation>> = BTreeMap::new();
        for operation in operations {
            by_path.entry(operation.rule.path).or_default().push(operation);
        }
        let mut paths = matchit::Router::new();
        for (path, operations) in by_path {
            if let Err(error) = paths.insert(path, PathItem::new(operations)) {
                tracing::error!(path, %error, "path of the table cannot be routed");
            }
        }
        Self { paths }
    }

    /// Returns the operations of a path, and the values of its variables, not decoded.
    pub(crate) fn find<'p>(&self, path: &'p str) -> Option<(&PathItem, matchit::Params<'_, 'p>)> {
        self.paths.at(path).ok().map(|found| (found.value, found.params))
    }
}

/// One path and its operations.
pub(crate) struct PathItem {
    operations: Vec<&'static Operation>,
    /// Value of the header `Allow`.
    pub(crate) allow: HeaderValue,
}

impl PathItem {
    fn new(mut operations: Vec<&'static Operation>) -> Self {
        operations.sort_by_key(|operation| operation.rule.verb);
        let mut verbs = Vec::new();
        for operation in &operations {
            verbs.push(operation.rule.verb.name());
            if operation.rule.verb == Verb::Get {
                verbs.push("HEAD");
            }
        }
        verbs.push("OPTIONS");
        let allow = HeaderValue::from_str(&verbs.join(", ")).unwrap_or(HeaderValue::from_static("OPTIONS"));
        Self { operations, allow }
    }

    /// Returns the path as the table has it, with `{variables}`.
    pub(crate) fn template(&self) -> &'static str {
        self.operations.first().map_or("", |operation| operation.rule.path)
    }

    /// Returns the operation of a verb.
    pub(crate) fn operation(&self, verb: Verb) -> Option<&'static Operation> {
        self.operations.iter().copied().find(|operation| operation.rule.verb == verb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::operations;

    #[test]
    fn every_operation_is_found_under_its_path() {
        let router = Router::new(operations());
        for operation in operations() {
            let rule = operation.rule;
            let path = rule.path.replace('{', "").replace('}', "%2F");
            let (found, variables) = router.find(&path).unwrap_or_else(|| panic!("{path} is not routed"));
            assert!(std::ptr::eq(found.operation(rule.verb).unwrap(), operation), "{path} has another operation");
            let variables: Vec<_> = variables.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let expected: Vec<_> = rule.variables().map(|v| (v.to_owned(), format!("{v}%2F"))).collect();
            assert_eq!(variables, expected);
        }
    }

    #[test]
    fn other_paths_are_not_found() {
        let router = Router::new(operations());
        for path in ["", "//", "/health/", "/api/v1/tasks/", "/api/v1/tasks//complete", "/api/v1/tasks/a/b", "/HEALTH"]
        {
            assert!(router.find(path).is_none(), "{path} is found");
        }
    }

    #[test]
    fn a_path_lists_its_verbs() {
        let router = Router::new(operations());
        let (path, _) = router.find("/api/v1/chatkit/sessions/x").unwrap();
        assert_eq!(path.allow, "GET, HEAD, PATCH, DELETE, OPTIONS");
        assert!(path.operation(Verb::Post).is_none());
        let (path, _) = router.find("/api/v1/auth/login").unwrap();
        assert_eq!(path.allow, "POST, OPTIONS");
    }
}
