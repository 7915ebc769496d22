//! Table -> matcher. Tells an unknown path (404) from a known one with another verb (405 and `Allow`).
//!
//! Limits, on purpose: a path ends where its row says, so a trailing slash is another path; a variable is one non-empty
//! segment, matched before it is decoded, so an encoded slash stays inside it.

use crate::fields::Row;
use crate::rule::Verb;
use http::HeaderValue;
use std::collections::BTreeMap;

/// Finds the rows of a path.
pub(crate) struct Router {
    paths: matchit::Router<Path>,
}

impl Router {
    /// A router over these rows. A path that contradicts another is left out and logged; the table's test keeps that
    /// from happening.
    pub(crate) fn of(rows: impl IntoIterator<Item = &'static Row>) -> Self {
        let mut by_path: BTreeMap<&str, Vec<&'static Row>> = BTreeMap::new();
        for row in rows {
            by_path.entry(row.rule.path).or_default().push(row);
        }
        let mut paths = matchit::Router::new();
        for (path, rows) in by_path {
            if let Err(error) = paths.insert(path, Path::of(rows)) {
                tracing::error!(path, %error, "a path of the table cannot be routed");
            }
        }
        Self { paths }
    }

    /// What is known under a path, and the undecoded values of its variables.
    pub(crate) fn at<'p>(&self, path: &'p str) -> Option<(&Path, matchit::Params<'_, 'p>)> {
        self.paths.at(path).ok().map(|found| (found.value, found.params))
    }
}

/// One path and its rows.
pub(crate) struct Path {
    rows: Vec<&'static Row>,
    /// Value of `Allow`.
    pub(crate) allow: HeaderValue,
}

impl Path {
    fn of(mut rows: Vec<&'static Row>) -> Self {
        rows.sort_by_key(|row| row.rule.verb);
        let mut verbs = Vec::new();
        for row in &rows {
            verbs.push(row.rule.verb.name());
            if row.rule.verb == Verb::Get {
                verbs.push("HEAD");
            }
        }
        verbs.push("OPTIONS");
        let allow = HeaderValue::from_str(&verbs.join(", ")).unwrap_or(HeaderValue::from_static("OPTIONS"));
        Self { rows, allow }
    }

    /// The path as its rows write it.
    pub(crate) fn template(&self) -> &'static str {
        self.rows.first().map_or("", |row| row.rule.path)
    }

    /// The row for a verb.
    pub(crate) fn row(&self, verb: Verb) -> Option<&'static Row> {
        self.rows.iter().copied().find(|row| row.rule.verb == verb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::table;

    #[test]
    fn every_row_is_found_under_its_own_path() {
        let router = Router::of(table());
        for row in table() {
            let path = row.rule.path.replace('{', "").replace('}', "%2F");
            let (found, params) = router.at(&path).unwrap_or_else(|| panic!("{path} is not routed"));
            assert!(std::ptr::eq(found.row(row.rule.verb).unwrap(), row), "{path} leads to another row");
            let told: Vec<_> = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let expected: Vec<_> = row.rule.variables().map(|v| (v.to_owned(), format!("{v}%2F"))).collect();
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn other_paths_are_not_found() {
        let router = Router::of(table());
        for path in ["", "//", "/health/", "/api/v1/tasks/", "/api/v1/tasks//complete", "/api/v1/tasks/a/b", "/HEALTH"]
        {
            assert!(router.at(path).is_none(), "{path} is found");
        }
    }

    #[test]
    fn a_path_knows_its_verbs() {
        let router = Router::of(table());
        let (path, _) = router.at("/api/v1/chatkit/sessions/x").unwrap();
        assert_eq!(path.allow, "GET, HEAD, PATCH, DELETE, OPTIONS");
        assert!(path.row(Verb::Post).is_none());
        let (path, _) = router.at("/api/v1/auth/login").unwrap();
        assert_eq!(path.allow, "POST, OPTIONS");
    }
}
