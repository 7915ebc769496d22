//! What a service key or a client token may be used for.

use std::num::NonZeroU32;
use std::sync::Arc;
use threadline_schema::admin::READ_CONTENT;
use threadline_schema::ids::{ClientTokenId, ServiceKeyId, UserId};
use threadline_schema::rpc;

/// How the names of the console's methods begin.
const CONSOLE: &str = "admin.";

/// The limits of a token that does not have all rights of its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The service key that is used, or with which the client token was created.
    pub(crate) key_id: Option<ServiceKeyId>,
    /// The service key, if it is used itself.
    pub(crate) service_key: Option<KeyInUse>,
    /// The client token.
    pub(crate) token_id: Option<ClientTokenId>,
    /// The methods that may be called.
    pub(crate) methods: MethodScope,
    /// The only agent of new threads; `None` for any.
    pub(crate) agent: Option<Arc<str>>,
}

/// A service key in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyInUse {
    pub(crate) id: ServiceKeyId,
    pub(crate) name: Arc<str>,
    /// Calls per minute, of all users together; `None` for no limit.
    pub(crate) requests_per_minute: Option<NonZeroU32>,
}

/// Methods, by name or by namespace: `threads.create`, `threads.*`, or `*`, which is all but those of the console.
/// Whether the console shows what users have written is a scope of its own: `admin:read_content`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MethodScope(Vec<String>);

/// Users: by id, as `ISSUER|SUBJECT`, all of a provider as `ISSUER|*`, or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserScope(Vec<String>);

impl MethodScope {
    pub(crate) fn new(patterns: Vec<String>) -> Self {
        Self(patterns)
    }

    /// Checks that each pattern names a method that exists.
    ///
    /// # Errors
    /// A sentence about the first that does not.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.0.is_empty() {
            return Err("Name at least one method, such as `threads.*`.".to_owned());
        }
        let is_known =
            |pattern: &str| pattern == READ_CONTENT || rpc::all().any(|method| matches(pattern, method.name));
        match self.0.iter().find(|pattern| !is_known(pattern)) {
            None => Ok(()),
            Some(pattern) => Err(format!("{pattern:?} names no method; write `threads.create`, `threads.*` or `*`.")),
        }
    }

    /// Returns whether a method may be called.
    pub(crate) fn allows(&self, method: &str) -> bool {
        self.0.iter().any(|pattern| matches(pattern, method))
    }

    /// Returns whether the console may show what users have written.
    pub(crate) fn allows_content(&self) -> bool {
        self.0.iter().any(|pattern| pattern == READ_CONTENT)
    }

    /// Returns whether another scope allows nothing that this one does not.
    pub(crate) fn includes(&self, other: &Self) -> bool {
        (self.allows_content() || !other.allows_content())
            && rpc::all().filter(|method| other.allows(method.name)).all(|method| self.allows(method.name))
    }

    /// Returns the part of another scope that this one allows too.
    pub(crate) fn common_with(&self, other: &Self) -> Self {
        let part = |pattern: &String| {
            let whole = Self(vec![pattern.clone()]);
            if self.includes(&whole) {
                return vec![pattern.clone()];
            }
            let names = rpc::all().map(|method| method.name);
            names.filter(|name| whole.allows(name) && self.allows(name)).map(str::to_owned).collect()
        };
        Self(other.0.iter().flat_map(part).collect())
    }

    pub(crate) fn patterns(&self) -> &[String] {
        &self.0
    }
}

impl UserScope {
    pub(crate) fn new(patterns: Vec<String>) -> Self {
        Self(patterns)
    }

    /// Checks the form of each pattern.
    ///
    /// # Errors
    /// A sentence about the first that is wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        let is_valid = |pattern: &&String| {
            *pattern == "*" || pattern.parse::<UserId>().is_ok() || split_reference(pattern).is_some()
        };
        match self.0.iter().find(|pattern| !is_valid(pattern)) {
            _ if self.0.is_empty() => Err("Name the users: `*`, an id, `ISSUER|SUBJECT` or `ISSUER|*`.".to_owned()),
            None => Ok(()),
            Some(pattern) => {
                Err(format!("{pattern:?} is not a user: write `*`, an id, `ISSUER|SUBJECT` or `ISSUER|*`."))
            }
        }
    }

    /// Returns the patterns with each id in its one form, however it was written.
    pub(crate) fn canonical(self) -> Vec<String> {
        let canonical = |pattern: String| pattern.parse::<UserId>().map_or(pattern, |id| id.to_string());
        self.0.into_iter().map(canonical).collect()
    }

    pub(crate) fn allows_all(&self) -> bool {
        self.0.iter().any(|pattern| pattern == "*")
    }

    pub(crate) fn allows_id(&self, user_id: UserId) -> bool {
        self.allows_all() || self.0.iter().any(|pattern| pattern.parse() == Ok(user_id))
    }

    pub(crate) fn allows_foreign(&self, issuer: &str, subject: &str) -> bool {
        let is_user = |pattern: &String| {
            split_reference(pattern).is_some_and(|(of, who)| of == issuer && (who == subject || who == "*"))
        };
        self.allows_all() || self.0.iter().any(is_user)
    }
}

/// Splits `ISSUER|SUBJECT`. An issuer is a URL, which has no `|`; a subject may have some.
pub(crate) fn split_reference(reference: &str) -> Option<(&str, &str)> {
    reference.split_once('|').filter(|(issuer, subject)| !issuer.is_empty() && !subject.is_empty())
}

fn matches(pattern: &str, method: &str) -> bool {
    match pattern.strip_suffix('*') {
        // The console must be named: keys of services have had `*` before there was one.
        Some("") => !method.starts_with(CONSOLE),
        Some(namespace) => namespace.ends_with('.') && method.starts_with(namespace),
        None => pattern == method,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn methods(patterns: &[&str]) -> MethodScope {
        MethodScope::new(patterns.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn methods_are_allowed_by_name_or_namespace() {
        let scope = methods(&["threads.*", "auth.me"]);
        assert!(scope.allows("threads.create") && scope.allows("auth.me"));
        assert!(!scope.allows("auth.login") && !scope.allows("threadsx.create") && !scope.allows("tasks.list"));
        assert!(methods(&["*"]).includes(&scope) && !scope.includes(&methods(&["*"])));
        assert!(scope.includes(&methods(&["threads.create", "threads.list"])));
        assert!(!scope.includes(&methods(&["threads.create", "tasks.*"])));
        assert!(scope.check().is_ok() && methods(&["*"]).check().is_ok());
        let console = methods(&["admin.*", "admin:read_content"]);
        assert!(console.check().is_ok() && console.allows("admin.usage") && console.allows_content());
        assert!(!methods(&["*"]).allows("admin.usage") && !methods(&["*"]).includes(&console));
        assert!(!methods(&["admin.*"]).allows_content() && !methods(&["admin.*"]).includes(&console));
        for wrong in [&[][..], &["thread.*"], &["threads"], &["thr*"], &[""], &["threads.create "]] {
            assert!(methods(wrong).check().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_common_part_has_what_both_scopes_allow() {
        let page = methods(&["threads.*", "items.*", "auth.me"]);
        let common = |patterns: &[&str]| methods(patterns).common_with(&page).patterns().to_vec();
        assert_eq!(common(&["*"]), page.patterns());
        assert_eq!(common(&["threads.*", "tasks.*", "auth.create_client_token"]), ["threads.*"]);
        assert_eq!(common(&["threads.create", "auth.*"]), ["threads.create", "auth.me"]);
        assert!(common(&["tasks.*"]).is_empty());
        assert!(methods(&["admin.*"]).common_with(&methods(&["admin:read_content"])).patterns().is_empty());
    }

    #[test]
    fn users_are_allowed_by_id_or_by_provider() {
        let id = UserId::random();
        let users = |patterns: &[&str]| UserScope::new(patterns.iter().map(ToString::to_string).collect());
        let some = users(&[&id.to_string(), "https://a.example|x|y", "https://b.example|*"]);
        assert!(some.check().is_ok() && some.allows_id(id) && !some.allows_id(UserId::random()));
        assert!(some.allows_foreign("https://a.example", "x|y") && !some.allows_foreign("https://a.example", "x"));
        assert!(some.allows_foreign("https://b.example", "anybody") && !some.allows_foreign("https://c.example", "x"));
        assert!(users(&["*"]).allows_id(id) && users(&["*"]).allows_foreign("i", "s"));
        let [upper, simple] = [id.to_string().to_uppercase(), id.to_string().replace('-', "")];
        let written = [upper.as_str(), &simple, "*", "https://A.example|X"];
        assert_eq!(users(&written).canonical(), [&id.to_string(), &id.to_string(), "*", "https://A.example|X"]);
        for wrong in [&[][..], &["ada"], &["|x"], &["https://a.example|"]] {
            assert!(users(wrong).check().is_err(), "{wrong:?}");
        }
    }
}
