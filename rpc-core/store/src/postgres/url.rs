//! Parameters of a `postgres://` URL that belong to other programs: URLs are copied from the settings of an ORM or from
//! a provider's page.

use crate::config::PreparedStatements;
use crate::error::{StoreError, StoreResult};

/// Parameters that tokio-postgres understands.
const KNOWN: &[&str] = &[
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "sslnegotiation",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
];

/// Parameters without which the connection would be another than the one that is asked for.
const REFUSED: &[(&str, &str)] = &[
    ("sslcert", "client certificates are not supported"),
    ("sslkey", "client certificates are not supported"),
    ("sslcrl", "lists of revoked certificates are not supported"),
    ("sslcrldir", "lists of revoked certificates are not supported"),
    ("require_auth", "it is not supported"),
    ("currentschema", "set it at the server: ALTER ROLE name SET search_path = schema"),
    ("search_path", "set it at the server: ALTER ROLE name SET search_path = schema"),
];

/// What the parameters of other programs say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct UrlOptions {
    /// Whether statements can be prepared by name.
    pub(super) prepared: Option<PreparedStatements>,
    /// Names of parameters that have no meaning here.
    pub(super) ignored: Vec<String>,
}

impl UrlOptions {
    /// Takes what tokio-postgres does not know out of a URL. Gives back the rest of the URL.
    ///
    /// # Errors
    /// [`StoreError::Config`] for a parameter that must not be ignored.
    pub(super) fn take_from(url: &str) -> StoreResult<(String, Self)> {
        let mut found = Self::default();
        let Some((base, parameters)) = url.split_once('?') else {
            return Ok((url.to_owned(), found));
        };
        let mut rest = Vec::new();
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if let Some(kept) = found.take(name, value)? {
                rest.push(kept);
            }
        }
        let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        Ok((url, found))
    }

    /// Returns the parameter as tokio-postgres takes it.
    fn take(&mut self, name: &str, value: &str) -> StoreResult<Option<String>> {
        let lower = name.to_ascii_lowercase();
        let is_on = matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on");
        if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == lower) {
            return Err(StoreError::Config(format!("{name}: {why}")));
        }
        match lower.as_str() {
            // Prisma; Rails and npgsql-like clients; asyncpg and psycopg; JDBC; pgx.
            "pgbouncer" if is_on => self.prepared = Some(PreparedStatements::Off),
            "prepared_statements" if !is_on => self.prepared = Some(PreparedStatements::Off),
            "statement_cache_size"
            | "prepared_statement_cache_size"
            | "statement_cache_capacity"
            | "preparethreshold"
            | "prepare_threshold"
                if value == "0" || value.eq_ignore_ascii_case("none") =>
            {
                self.prepared = Some(PreparedStatements::Off);
            }
            "default_query_exec_mode" if value == "exec" || value == "simple_protocol" => {
                self.prepared = Some(PreparedStatements::Off);
            }
            "schema" if value != "public" => {
                let why = "schema: set it at the server: ALTER ROLE name SET search_path = schema";
                return Err(StoreError::Config(why.to_owned()));
            }
            // libpq's name for what tokio-postgres calls retries.
            "keepalives_count" => return Ok(Some(format!("keepalives_retries={value}"))),
            "target_session_attrs" => match value {
                "any" | "read-write" => return Ok(Some(format!("{name}={value}"))),
                "primary" => return Ok(Some(format!("{name}=read-write"))),
                _ => {
                    let why = "target_session_attrs is one of any, read-write, primary: the service writes";
                    return Err(StoreError::Config(why.to_owned()));
                }
            },
            known if KNOWN.contains(&known) => return Ok(Some(format!("{known}={value}"))),
            _ => self.ignored.push(name.to_owned()),
        }
        Ok(None)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_other_programs_are_understood_or_ignored() {
        let off = Some(PreparedStatements::Off);
        for (parameters, rest, prepared, ignored) in [
            ("pgbouncer=true&connection_limit=1", "", off, vec!["connection_limit"]),
            ("pgbouncer=false", "", None, vec!["pgbouncer"]),
            ("statement_cache_size=0&application_name=a", "?application_name=a", off, vec![]),
            ("prepareThreshold=0", "", off, vec![]),
            ("prepared_statements=false&pool=5", "", off, vec!["pool"]),
            ("default_query_exec_mode=simple_protocol", "", off, vec![]),
            ("schema=public&supa=base-pooler.x", "", None, vec!["schema", "supa"]),
            (
                "target_session_attrs=primary&keepalives_count=2",
                "?target_session_attrs=read-write&keepalives_retries=2",
                None,
                vec![],
            ),
        ] {
            let (url, options) = UrlOptions::take_from(&format!("postgres://u@h/d?{parameters}")).unwrap();
            assert_eq!(url, format!("postgres://u@h/d{rest}"));
            assert_eq!(options.prepared, prepared, "{parameters}");
            assert_eq!(options.ignored, ignored, "{parameters}");
            url.parse::<tokio_postgres::Config>().unwrap();
        }
    }

    #[test]
    fn what_must_not_be_ignored_is_refused() {
        for parameter in ["sslcert=/a", "schema=other", "currentSchema=x", "target_session_attrs=standby"] {
            let error = UrlOptions::take_from(&format!("postgres://u:secret@h/d?{parameter}")).unwrap_err();
            assert!(matches!(&error, StoreError::Config(text) if !text.contains("secret")), "{error}");
        }
    }
}
