//! The table as data, what wrong values answer, and what right ones become.

use super::*;
use secrecy::ExposeSecret;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use threadline_core::config::{CoreConfig, ModelConfig, Registration};

fn read(values: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let values: HashMap<&str, &str> = values.iter().copied().collect();
    Settings::read(&|name| values.get(name).map(ToString::to_string))
}

fn core(values: &[(&str, &str)]) -> Result<(CoreConfig, Vec<String>), ConfigError> {
    read(values)?.core()
}

const LONG_KEY: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn names_and_flags_are_unique_and_each_row_has_documentation() {
    let mut names = HashSet::new();
    let mut flags = HashSet::new();
    for setting in Settings::TABLE {
        for name in std::iter::once(&setting.name).chain(setting.aliases) {
            assert!(names.insert(*name), "{name} is there twice");
            assert!(name.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit()), "{name}");
        }
        assert!(flags.insert(setting.flag()), "--{} is there twice", setting.flag());
        assert!(setting.doc.trim().ends_with('.'), "{} has no sentence", setting.name);
        assert!(Group::ALL.contains(&setting.group), "{} stands in no document", setting.name);
    }
}

#[test]
fn defaults_are_a_valid_configuration() {
    let (config, warnings) = core(&[]).unwrap();
    assert_eq!(config.database.url.expose_secret(), "sqlite://threadline.db");
    assert_eq!((config.database.pool_size, config.database.auto_migrate), (20, true));
    assert!(config.database.sqlite_full_sync);
    assert_eq!(config.auth.token_lifetime, Duration::from_secs(86_400));
    assert_eq!(config.auth.secret.expose_secret().len(), 64);
    assert!(matches!(config.model, ModelConfig::Demo(_)));
    assert_eq!(config.limits.requests_per_minute.unwrap().get(), 30);
    assert_eq!((config.limits.sessions_per_user, config.limits.message_chars), (Some(10), Some(500)));
    assert_eq!(config.session_max_idle, Some(Duration::from_secs(30 * 86_400)));
    assert!(config.agent.instructions.contains("list_tasks"));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("SECRET_KEY"));

    let server = read(&[]).unwrap().server().unwrap();
    assert_eq!(server.rest_listen.to_string(), "127.0.0.1:8000");
    assert_eq!(server.rpc_listen.to_string(), "127.0.0.1:8001");
    assert_eq!((server.drain, server.tls), (Duration::from_secs(10), None));
    assert!(server.cors_origins.is_empty() && server.trusted_proxies.is_empty());
}

#[test]
fn random_keys_differ() {
    let secret = || core(&[]).unwrap().0.auth.secret.expose_secret().to_owned();
    assert_ne!(secret(), secret());
}

#[test]
fn the_error_of_an_invalid_value_is_one_line_with_the_variable_and_what_is_expected() {
    let wrong = [
        ("DATABASE_URL", "mysql://db", "sqlite://PATH or postgres://"),
        ("DATABASE_POOL_SIZE", "many", "from 1 to 1000"),
        ("DATABASE_POOL_SIZE", "0", "from 1 to 1000"),
        ("DATABASE_POOL_TIMEOUT_SECONDS", "-1", "from 1 to 300"),
        ("AUTO_MIGRATE", "perhaps", "true or false"),
        ("SQLITE_SYNCHRONOUS", "extra", "full or normal"),
        ("REDIS_URL", "localhost:6379", "redis://"),
        ("ALGORITHM", "RS256", "HS256, HS384 or HS512"),
        ("ALGORITHM", "none", "HS256, HS384 or HS512"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "0", "from 1 to"),
        ("SECRET_KEY", "two\nlines", "text on one line"),
        ("REGISTRATION", "yes", "open, invite or closed"),
        ("OPENROUTER_BASE_URL", "openrouter.ai", "a URL such as"),
        ("OPENROUTER_BASE_URL", "ftp://model/v1?key=1", "a URL such as"),
        ("PUBLIC_URL", "https://chat.example?a=1", "a URL without a query"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://traces.example/?a=1", "a URL without a query"),
        ("AGENT_MAX_TURNS", "1e3", "from 1 to 100"),
        ("AGENT_TIMEOUT_SECONDS", "30s", "from 1 to 3600"),
        ("RATE_LIMIT_REQUESTS_PER_MINUTE", "4294967296", "0 for no limit"),
        ("MAX_SESSIONS_PER_USER", "-1", "0 for no limit"),
        ("REST_LISTEN", "8000", "ADDRESS:PORT"),
        ("RPC_LISTEN", "127.0.0.1:99999", "ADDRESS:PORT"),
        ("CORS_ORIGINS", "app.example", "a list of origins"),
        ("HSTS", "2", "true or false"),
        ("CORE_URL", "core", "ws://127.0.0.1:8001"),
        ("TRUSTED_PROXIES", "proxy.local", "a list of addresses and networks"),
        ("MAX_BODY_BYTES", "1MB", "from 1024 to"),
        ("DRAIN_SECONDS", "3601", "from 0 to 3600"),
        ("LOG_LEVEL", "verbose", "error, warn, info"),
        ("LOG_FORMAT", "xml", "json or pretty"),
    ];
    for (name, value, expected) in wrong {
        let error = read(&[(name, value)]).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.variable, name);
        assert!(text.starts_with(&format!("{name}: ")) && text.contains(expected), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn errors_do_not_repeat_secrets_and_shorten_other_values() {
    for setting in Settings::TABLE.iter().filter(|setting| setting.secret) {
        let error = read(&[(setting.name, "hunter2\thunter2")]).unwrap_err().to_string();
        assert!(error.starts_with(setting.name) && !error.contains("hunter2"), "{error}");
    }
    let error = read(&[("REST_LISTEN", &format!("\x1b[31m{}", "x".repeat(10_000)))]).unwrap_err().to_string();
    assert!(!error.contains('\x1b') && error.len() < 250, "{error}");
}

#[test]
fn values_are_trimmed_and_empty_is_not_set() {
    let settings = read(&[("LOG_LEVEL", "  warn\r\n"), ("REST_LISTEN", ""), ("SECRET_KEY", "   ")]).unwrap();
    assert_eq!(settings.log_level.as_str(), "warn");
    assert_eq!(settings.rest_listen.port(), 8000);
    assert!(settings.secret_key.is_none());
}

#[test]
fn zero_is_no_limit() {
    let (config, _) = core(&[
        ("RATE_LIMIT_REQUESTS_PER_MINUTE", "0"),
        ("MAX_SESSIONS_PER_USER", "0"),
        ("MAX_MESSAGE_CHARS", "0"),
        ("SESSION_MAX_IDLE_DAYS", "0"),
    ])
    .unwrap();
    assert_eq!(config.limits.requests_per_minute, None);
    assert_eq!((config.limits.sessions_per_user, config.limits.message_chars), (None, None));
    assert_eq!(config.session_max_idle, None);
}

#[test]
fn postgres_requires_a_long_key() {
    let url = ("DATABASE_URL", "postgres://user:hunter2@db/threadline");
    for values in [vec![url], vec![url, ("SECRET_KEY", "short")], vec![url, ("JWT_SECRET", "short")]] {
        let error = core(&values).unwrap_err();
        assert_eq!(error.variable, "SECRET_KEY");
        assert!(!error.to_string().contains("hunter2") && !error.to_string().contains("short"), "{error}");
    }
    let (config, warnings) = core(&[url, ("SECRET_KEY", LONG_KEY)]).unwrap();
    assert_eq!(config.auth.secret.expose_secret(), LONG_KEY);
    assert!(
        matches!(&*warnings, [about_registration] if about_registration.starts_with("REGISTRATION ")),
        "{warnings:?}"
    );
    assert_eq!(config.database.url.expose_secret(), url.1);
}

#[test]
fn registration_is_open_only_for_one_machine_unless_it_is_set() {
    let registration = |values: &[(&str, &str)]| {
        let (config, warnings) = core(&[values, &[("SECRET_KEY", LONG_KEY)]].concat()).unwrap();
        (config.registration, warnings)
    };
    assert_eq!(registration(&[]), (Registration::Open, vec![]));
    assert_eq!(registration(&[("REST_LISTEN", "[::1]:80")]), (Registration::Open, vec![]));
    for reachable in [
        ("REST_LISTEN", "0.0.0.0:8000"),
        ("RPC_LISTEN", "[::]:8001"),
        ("DATABASE_URL", "postgres://db/threadline"),
        ("TLS_CERT_FILE", "c.pem"),
    ] {
        let (found, warnings) = registration(&[reachable]);
        assert_eq!(found, Registration::Closed, "{reachable:?}");
        assert!(matches!(&*warnings, [one] if one.contains("threadline user create")), "{warnings:?}");
        for (value, set) in
            [("open", Registration::Open), ("Invite", Registration::Invite), ("closed", Registration::Closed)]
        {
            assert_eq!(registration(&[reachable, ("REGISTRATION", value)]), (set, vec![]));
        }
    }
}

#[test]
fn a_provider_needs_an_issuer_and_an_audience() {
    let issuer = ("AUTH_ISSUER", "https://login.example/");
    for (values, variable) in [
        (vec![issuer], "AUTH_AUDIENCE"),
        (vec![issuer, ("AUTH_AUDIENCE", " , ")], "AUTH_AUDIENCE"),
        (vec![("AUTH_AUDIENCE", "app")], "AUTH_ISSUER"),
        (vec![("AUTH_JWKS_URL", "https://login.example/keys")], "AUTH_ISSUER"),
        (vec![("AUTH_ISSUER", "login.example"), ("AUTH_AUDIENCE", "app")], "AUTH_ISSUER"),
    ] {
        assert_eq!(core(&values).unwrap_err().variable, variable, "{values:?}");
    }
    let provider = core(&[issuer, ("AUTH_AUDIENCE", "app, other")]).unwrap().0.provider.unwrap();
    assert_eq!((provider.issuer.as_str(), provider.jwks_url), ("https://login.example/", None));
    assert_eq!(
        (provider.audiences, provider.email_claim),
        (vec!["app".to_owned(), "other".to_owned()], "email".to_owned())
    );
}

#[test]
fn several_keys_are_separated_by_commas_and_the_first_signs() {
    let (first, second) = ("a".repeat(32), "b".repeat(32));
    let auth = core(&[("SECRET_KEY", &format!("{first}, {second},"))]).unwrap().0.auth;
    assert_eq!(auth.secret.expose_secret(), first);
    assert_eq!(auth.former_secrets.iter().map(ExposeSecret::expose_secret).collect::<Vec<_>>(), [second.as_str()]);
    let url = ("DATABASE_URL", "postgres://db/threadline");
    assert_eq!(core(&[url, ("SECRET_KEY", &format!("{first},short"))]).unwrap_err().variable, "SECRET_KEY");
    assert_eq!(core(&[("SECRET_KEY", ",,")]).unwrap_err().variable, "SECRET_KEY");
}

#[test]
fn registrations_are_limited_like_requests_unless_it_is_set() {
    let limit = |values: &[(&str, &str)]| core(values).unwrap().0.limits.registrations_per_hour.map(u32::from);
    assert_eq!(limit(&[]), Some(30));
    assert_eq!(limit(&[("RATE_LIMIT_REQUESTS_PER_MINUTE", "0")]), None);
    assert_eq!(limit(&[("RATE_LIMIT_REQUESTS_PER_MINUTE", "0"), ("REGISTRATIONS_PER_HOUR", "5")]), Some(5));
    assert_eq!(limit(&[("REGISTRATIONS_PER_HOUR", "0")]), None);
}

#[test]
fn sqlite_accepts_a_short_key_with_a_warning_and_the_name_overrides_the_alias() {
    let (config, warnings) = core(&[("JWT_SECRET", "short")]).unwrap();
    assert_eq!(config.auth.secret.expose_secret(), "short");
    assert!(warnings[0].contains("SECRET_KEY") && !warnings[0].contains("short"), "{warnings:?}");
    let (config, _) = core(&[("JWT_SECRET", "short"), ("SECRET_KEY", LONG_KEY)]).unwrap();
    assert_eq!(config.auth.secret.expose_secret(), LONG_KEY);
}

#[test]
fn a_persistent_key_is_required_for_tokens_of_commands() {
    assert_eq!(read(&[]).unwrap().persistent_auth().unwrap_err().variable, "SECRET_KEY");
    let auth = read(&[("SECRET_KEY", LONG_KEY)]).unwrap().persistent_auth().unwrap();
    assert_eq!(auth.secret.expose_secret(), LONG_KEY);
}

#[test]
fn the_model_is_openrouter_else_gemini_else_the_demo() {
    let model = |values: &[(&str, &str)]| match read(values).unwrap().model() {
        ModelConfig::Demo(_) => "demo".to_owned(),
        ModelConfig::OpenAi(server) => {
            let (base_url, key) = (server.base_url.expose_secret(), server.api_key.expose_secret());
            format!("{base_url} {key} {}", server.model)
        }
    };
    let gemini = ("GEMINI_API_KEY", "g");
    assert_eq!(model(&[]), "demo");
    assert_eq!(model(&[("OPENROUTER_MODEL", "x/y")]), "demo");
    assert_eq!(model(&[("OPENROUTER_API_KEY", "k"), gemini]), "https://openrouter.ai/api/v1 k openai/gpt-4o-mini");
    let local = [("OPENROUTER_BASE_URL", "http://127.0.0.1:8080/v1/"), ("OPENROUTER_MODEL", "qwen"), gemini];
    assert_eq!(model(&local), "http://127.0.0.1:8080/v1/  qwen");
    let azure = "https://NAME.openai.azure.com/openai/deployments/DEPLOYMENT?api-version=2025-04-01-preview";
    let values = [("OPENROUTER_BASE_URL", azure), ("OPENROUTER_API_KEY", "k"), ("OPENROUTER_MODEL", "DEPLOYMENT")];
    assert_eq!(model(&values), format!("{azure} k DEPLOYMENT"));
    assert_eq!(model(&[gemini]), format!("{GEMINI_BASE_URL} g gemini-2.5-flash"));
}

#[test]
fn instructions_are_read_from_the_file_or_the_start_fails() {
    let path = std::env::temp_dir().join(format!("threadline-{}-instructions.md", std::process::id()));
    let value = path.to_str().unwrap();
    std::fs::write(&path, "  Speak like a pirate.\n").unwrap();
    assert_eq!(&*core(&[("AGENT_INSTRUCTIONS_FILE", value)]).unwrap().0.agent.instructions, "Speak like a pirate.");
    std::fs::write(&path, "\n").unwrap();
    assert!(core(&[("AGENT_INSTRUCTIONS_FILE", value)]).unwrap_err().to_string().contains("is empty"));
    std::fs::remove_file(&path).unwrap();
    let error = core(&[("AGENT_INSTRUCTIONS_FILE", value)]).unwrap_err();
    assert_eq!(error.variable, "AGENT_INSTRUCTIONS_FILE");
    assert_eq!(error.to_string().lines().count(), 1);
}

#[test]
fn tls_needs_both_files_or_none() {
    let server = |values: &[(&str, &str)]| read(values).unwrap().server();
    assert_eq!(server(&[("TLS_CERT_FILE", "c.pem")]).unwrap_err().variable, "TLS_KEY_FILE");
    assert_eq!(server(&[("TLS_KEY_FILE", "k.pem")]).unwrap_err().variable, "TLS_CERT_FILE");
    let both = server(&[("TLS_CERT_FILE", "c.pem"), ("TLS_KEY_FILE", "k.pem")]).unwrap();
    assert_eq!(both.tls, Some(TlsFiles { cert: "c.pem".into(), key: "k.pem".into() }));
}

#[test]
fn a_gateway_needs_the_url_of_its_core() {
    assert_eq!(read(&[]).unwrap().core_url().unwrap_err().variable, "CORE_URL");
    assert_eq!(read(&[("CORE_URL", "ws://core:8001")]).unwrap().core_url().unwrap(), "ws://core:8001");
}

#[test]
fn the_committed_env_example_is_current_and_changes_nothing() {
    let committed = include_str!("../../.env.example");
    assert!(committed == env_example(), "not current; run: cargo run -- env-example > .env.example");

    let values: HashMap<String, String> =
        dotenvy::from_read_iter(committed.as_bytes()).collect::<Result<_, _>>().expect("dotenvy reads it");
    for setting in Settings::TABLE {
        let expected = match setting.default {
            DefaultValue::Text(text) => text,
            DefaultValue::Unset(_) => "",
        };
        assert_eq!(values.get(setting.name).map(String::as_str), Some(expected), "{}", setting.name);
    }
    Settings::read(&|name| values.get(name).cloned()).expect("its values are right");
}

#[test]
fn the_markdown_table_has_a_row_for_each_setting() {
    let text = config_markdown();
    for setting in Settings::TABLE {
        let rows = text.lines().filter(|line| line.starts_with(&format!("| `{}`", setting.name))).count();
        assert_eq!(rows, 1, "{}", setting.name);
    }
    let columns = |line: &str| line.replace("\\|", "").matches('|').count();
    assert!(text.lines().filter(|line| line.starts_with('|')).all(|line| columns(line) == 4));
}
