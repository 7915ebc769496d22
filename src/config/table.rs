//! The table of settings: one row per setting. The typed [`Settings`], the flags, `.env.example` and the README's table
//! are derived from it.

use super::ConfigError;
use super::setting::{DefaultValue, Group, Setting, SettingField};
use super::value::{
    AttachmentsUrl, CoreUrl, DatabaseUrl, HttpUrl, IssuerUrl, Limit, LogFilter, LogFormat, MediaTypes, ModelUrl, Money,
    NetworkFileSystem, Networks, Number, Origins, OtlpHeaders, OtlpProtocol, PostgresUrl, Ratio, RedisUrl, ReportUrl,
    ResourceAttributes, Synchronous, TraceSampler, Value,
};
use secrecy::SecretString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use threadline_core::config::{DialectOverrides, PreparedStatements, Registration, TokenAlgorithm};
use threadline_schema::admin::AdminSetting;

/// Declares the settings: `/// doc`, then `field: Type = "VARIABLE" in Group`, then optionally, in this order,
/// `default "text"`, `unset "effect"`, `alias "OTHER_VARIABLE"` and `flag "other-flag"`.
/// The type of a setting without a default is an `Option`.
macro_rules! settings {
    ($(
        $(#[doc = $doc:literal])+
        $field:ident : $type:ty = $name:literal in $group:ident
            $(, default $default:literal)? $(, unset $unset:literal)?
            $(, alias $alias:literal)? $(, flag $flag:literal)? ;
    )+) => {
        /// All settings, each parsed by itself. Settings that depend on each other are checked when
        /// [`CoreConfig`](threadline_core::config::CoreConfig) and [`ServerConfig`](super::ServerConfig) are created.
        #[derive(Debug, Clone)]
        pub struct Settings {
            $( $(#[doc = $doc])+ pub $field: $type, )+
            /// What operators are shown of each setting.
            pub shown: Arc<[AdminSetting]>,
        }

        impl Settings {
            /// All rows, in the order of the documents.
            pub const TABLE: &'static [Setting] = &[$(rows::$field),+];

            /// Parses all settings. `lookup` returns the value of a variable.
            ///
            /// # Errors
            ///
            /// The first setting of the table that has an invalid value.
            pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
                Ok(Self {
                    $( $field: SettingField::read(&rows::$field, rows::$field.find(lookup))?, )+
                    shown: Self::TABLE.iter().map(|setting| setting.shown(lookup)).collect(),
                })
            }
        }

        // A row has the name of its field, so that the macro can refer to it.
        #[allow(non_upper_case_globals)]
        mod rows {
            use super::*;
            $(
                pub(super) const $field: Setting = Setting {
                    name: $name,
                    aliases: &[$($alias)?],
                    file_names: &[concat!($name, "_FILE"), $(concat!($alias, "_FILE"))?],
                    group: Group::$group,
                    doc: concat!($($doc),+),
                    default: settings!(@default $(text $default)? $(unset $unset)?),
                    secret: <<$type as SettingField>::Parsed as Value>::SECRET,
                    expected: <<$type as SettingField>::Parsed as Value>::expected,
                    placeholder: <<$type as SettingField>::Parsed as Value>::PLACEHOLDER,
                    switch: <<$type as SettingField>::Parsed as Value>::SWITCH,
                    flag_name: settings!(@flag $($flag)?),
                };
            )+
        }
    };
    (@default text $text:literal) => { DefaultValue::Text($text) };
    (@default unset $words:literal) => { DefaultValue::Unset($words) };
    (@flag $flag:literal) => { Some($flag) };
    (@flag) => { None };
}

settings! {
    /// Database: `sqlite://PATH`, which needs nothing else, or `postgres://USER:PASSWORD@HOST/DATABASE`.
    /// `?sslmode=require` at the end of the latter requires TLS, `?sslmode=verify-full` also checks the certificate.
    database_url: DatabaseUrl = "DATABASE_URL" in Database, default "sqlite://threadline.db";
    /// Maximum number of connections to PostgreSQL. SQLite always has one writer and four readers.
    database_pool_size: Number<1, 1000> = "DATABASE_POOL_SIZE" in Database, default "20";
    /// Seconds that a request waits for a database connection before it is answered 503.
    database_pool_timeout: Number<1, 300> = "DATABASE_POOL_TIMEOUT_SECONDS" in Database, default "5";
    /// Whether statements are prepared by name on PostgreSQL. `auto`: yes, except behind a pooler, which is recognised.
    /// `on`: always, for a pooler that keeps track of names. `off`: never.
    database_prepared: PreparedStatements = "DATABASE_PREPARED" in Database, default "auto";
    /// URL of the same PostgreSQL without a pooler, for what needs a session of its own: `LISTEN`, the lock by which
    /// other replicas notice at once that this process has died, and migrations.
    database_direct_url: Option<PostgresUrl> = "DATABASE_DIRECT_URL" in Database, unset "DATABASE_URL";
    /// Whether pending migrations are applied at start. If false, run `threadline migrate` before each upgrade.
    auto_migrate: bool = "AUTO_MIGRATE" in Database, default "true";
    /// How SQLite waits for the disk. `full`: a power cut loses nothing that was acknowledged. `normal`: several times
    /// as many writes per second, and a power cut can lose the last ones.
    sqlite_synchronous: Synchronous = "SQLITE_SYNCHRONOUS" in Database, default "full";
    /// What to do with an SQLite file on a network file system (NFS, SMB, 9p, sshfs), whose locks cannot be relied on:
    /// `refuse` to start, or `allow` it at your own risk.
    sqlite_network_file_system: NetworkFileSystem = "SQLITE_NETWORK_FILE_SYSTEM" in Database, default "refuse";
    /// Redis, for several replicas on one PostgreSQL: with it they share their rate limits, and a response that another
    /// replica produces arrives at once. One process needs no Redis.
    redis_url: Option<RedisUrl> = "REDIS_URL" in Database, unset "none";

    /// Key that signs tokens: at least 32 characters, for example from `openssl rand -hex 32`. All processes that share
    /// a database need the same key. Required with PostgreSQL. To replace a key, put the new one before it, with a
    /// comma: the first key signs, and what the others have signed is accepted.
    secret_key: Option<SecretString> = "SECRET_KEY" in Accounts, unset "a random key, until the process ends", alias "JWT_SECRET";
    /// Signature algorithm of tokens: HS256, HS384 or HS512. Tokens with another algorithm are refused.
    algorithm: TokenAlgorithm = "ALGORITHM" in Accounts, default "HS256";
    /// Lifetime of a token from `auth.login`, in minutes.
    token_lifetime: Number<1, 5_256_000> = "ACCESS_TOKEN_EXPIRE_MINUTES" in Accounts, default "1440";

    /// Issuer of an identity provider (OpenID Connect) whose tokens are accepted too: the claim `iss` of its tokens,
    /// letter by letter. A user is created when the first valid token of its subject (`sub`) comes. Algorithms: RS256,
    /// PS256, ES256, EdDSA.
    auth_issuer: Option<IssuerUrl> = "AUTH_ISSUER" in Accounts, unset "only tokens of this service";
    /// URL of the provider's keys (JWKS).
    auth_jwks_url: Option<IssuerUrl> = "AUTH_JWKS_URL" in Accounts, unset "the one in AUTH_ISSUER/.well-known/openid-configuration";
    /// Audiences of accepted tokens, as a comma list: the claim `aud` must have one of them. Required with AUTH_ISSUER.
    auth_audience: Option<String> = "AUTH_AUDIENCE" in Accounts, unset "";
    /// Claim with the email address. Dots lead into nested objects.
    auth_claim_email: String = "AUTH_CLAIM_EMAIL" in Accounts, default "email";
    /// Claim with the roles: a list, or words. Dots lead into nested objects: `realm_access.roles`.
    auth_claim_roles: String = "AUTH_CLAIM_ROLES" in Accounts, default "roles";
    /// Claim with the budget class: one of the tables `[budget_classes.NAME]` of the agents file. Dots lead into nested
    /// objects.
    auth_claim_budget_class: Option<String> = "AUTH_CLAIM_BUDGET_CLASS" in Accounts, unset "none";
    /// Days for which entries of the audit log are kept. 0: without end.
    audit_retention_days: Limit = "AUDIT_RETENTION_DAYS" in Accounts, default "365";
    /// Who can register an account: `open`, everyone; `invite`, everyone with an invitation (`threadline invite
    /// create`); `closed`, no one: `threadline user create` creates the accounts.
    registration: Option<Registration> = "REGISTRATION" in Accounts, unset "`open` with SQLite and without TLS on addresses of this machine, else `closed`";

    /// Storage of attachments: a directory, as a path or as `file:///PATH`, or an S3 bucket, as `s3://BUCKET/PREFIX`.
    /// Keys, region and endpoint of a bucket are read from the usual `AWS_*` variables. Several replicas need a storage
    /// that they share.
    attachments_url: Option<AttachmentsUrl> = "ATTACHMENTS_URL" in Attachments, unset "`threadline-attachments` next to the SQLite file, or else in the working directory";
    /// URL at which clients reach the REST API. URLs of uploads and previews begin with it.
    public_url: Option<HttpUrl> = "PUBLIC_URL" in Attachments, unset "the address of REST_LISTEN";
    /// Maximum size of an attachment in bytes. The maximum for images is 33554432, whatever the value.
    max_attachment_bytes: Number<1, 1_073_741_824> = "MAX_ATTACHMENT_BYTES" in Attachments, default "20971520";
    /// Maximum total size of a user's attachments in bytes. 0: no limit.
    max_attachment_bytes_per_user: Limit = "MAX_ATTACHMENT_BYTES_PER_USER" in Attachments, default "500000000";
    /// Allowed media types of attachments: a comma list. `*` at the end is a wildcard.
    attachment_types: MediaTypes = "ATTACHMENT_TYPES" in Attachments, default "image/png,image/jpeg,image/gif,image/webp,text/*,application/pdf,application/json";

    /// API key of the model's server. Without any key or base URL the built-in demo model is used.
    openrouter_api_key: Option<SecretString> = "OPENROUTER_API_KEY" in Model, unset "the demo model";
    /// Base URL of a server that speaks OpenAI's chat completions; `/chat/completions` is appended to its path. It can
    /// have a query, such as `?api-version=...` of Azure. If only this is set, no key is sent, as for a llama.cpp or
    /// vLLM of your own.
    openrouter_base_url: Option<ModelUrl> = "OPENROUTER_BASE_URL" in Model, unset "https://openrouter.ai/api/v1";
    /// Name of the model at its server.
    openrouter_model: String = "OPENROUTER_MODEL" in Model, default "openai/gpt-4o-mini";
    /// URL of your site, sent as `HTTP-Referer`. OpenRouter uses it to attribute usage.
    openrouter_site_url: Option<HttpUrl> = "OPENROUTER_SITE_URL" in Model, unset "";
    /// Name of your application, sent as `X-Title`.
    openrouter_app_name: Option<String> = "OPENROUTER_APP_NAME" in Model, unset "";
    /// API key of Google Gemini, used through its OpenAI-compatible endpoint if neither OPENROUTER_API_KEY nor
    /// OPENROUTER_BASE_URL is set.
    gemini_api_key: Option<SecretString> = "GEMINI_API_KEY" in Model, unset "";
    /// Name of the Gemini model.
    gemini_model: String = "GEMINI_MODEL" in Model, default "gemini-2.5-flash";
    /// Dialect of the model, where it differs from what is known of its host and name (docs/MODELS.md): the name of an
    /// entry, such as `mistral`, or settings as `KEY=VALUE,...`, or both.
    model_dialect: Option<DialectOverrides> = "MODEL_DIALECT" in Model, unset "by host and model";
    /// Number of tokens that a model can read and write together, its context window. Longer conversations are
    /// shortened: the model does not read their beginning.
    context_tokens: Option<Number<256, 100_000_000>> = "CONTEXT_TOKENS" in Model, unset "what the server's list of models, or its first refusal, says";
    /// Maximum seconds to connect to the model's server.
    agent_connect_timeout: Number<1, 300> = "AGENT_CONNECT_TIMEOUT_SECONDS" in Model, default "5";
    /// Maximum seconds to wait for a model's first token, and for each further token.
    agent_timeout: Number<1, 3600> = "AGENT_TIMEOUT_SECONDS" in Model, default "30";
    /// Maximum attempts of one request to the model, including the first. There is no further attempt after the first
    /// token.
    agent_max_attempts: Number<1, 10> = "AGENT_MAX_ATTEMPTS" in Model, default "3";
    /// Name of the model that transcribes speech, at the same server (`/audio/transcriptions`).
    transcription_model: Option<String> = "TRANSCRIPTION_MODEL" in Model, unset "transcription is refused";
    /// Name of the model that writes the titles of conversations, at the same server. It is asked once per
    /// conversation, while the first message is answered. Until then the title is the words of that message.
    title_model: Option<String> = "TITLE_MODEL" in Model, unset "the title is the words of the first message";
    /// Name of the model that summarises the oldest part of a conversation that is too long for its model, at the same
    /// server (docs/MODELS.md). The answer does not wait for it.
    summary_model: Option<String> = "SUMMARY_MODEL" in Model, unset "the oldest part of a long conversation is left out";
    /// Pause of the demo model between two words, in milliseconds.
    demo_word_pause: Number<0, 10_000> = "DEMO_WORD_PAUSE_MS" in Model, default "30";

    /// File with the assistant's instructions (system prompt). Clients cannot see or replace them.
    agent_instructions_file: Option<PathBuf> = "AGENT_INSTRUCTIONS_FILE" in Agent, unset "an assistant that keeps a to-do list";
    /// File with agents, their tools and where the tools are (docs/AGENTS.md). SIGHUP reloads it.
    agents_file: Option<PathBuf> = "AGENTS_FILE" in Agent, unset "one agent with all built-in tools";
    /// Maximum number of model requests in one run. Each round of tool calls needs one more.
    agent_max_turns: Number<1, 100> = "AGENT_MAX_TURNS" in Agent, default "10";
    /// Maximum duration of a run in seconds.
    run_max_seconds: Number<1, 86_400> = "RUN_MAX_SECONDS" in Agent, default "600";
    /// Minutes for which the events of an ended run are kept. Until then, a reader can resume at any event. After that,
    /// a reader who had read a part gets the complete result instead.
    run_events_retention: Number<0, 525_600> = "RUN_EVENTS_RETENTION_MINUTES" in Agent, default "60";
    /// Interval in milliseconds of writing the events of active runs to the database. It grows up to 250 ms if the
    /// database is slow. A crash loses at most the output of one interval. 0: events are not written before the end of
    /// a run, and a crash loses the output of the run.
    run_events_interval: Limit = "RUN_EVENTS_INTERVAL_MS" in Agent, default "40";
    /// Milliseconds after which a run is cancelled when the client has closed its request to `/chatkit` and nothing
    /// else reads the run.
    chatkit_cancel_grace: Number<0, 600_000> = "CHATKIT_CANCEL_GRACE_MS" in Agent, default "2000";
    /// Maximum number of newest items of a conversation that are sent to the model.
    agent_history_items: Number<1, 10_000> = "AGENT_HISTORY_ITEMS" in Agent, default "100";

    /// Maximum requests per minute of one user over all transports, or of one address without a token. 0: no limit.
    rate_limit: Limit = "RATE_LIMIT_REQUESTS_PER_MINUTE" in Limits, default "30";
    /// Maximum registrations per hour from one address. 0: no limit.
    registrations_per_hour: Option<Limit> = "REGISTRATIONS_PER_HOUR" in Limits, unset "the number of RATE_LIMIT_REQUESTS_PER_MINUTE";
    /// Maximum number of conversations of a user that are not archived. 0: no limit.
    max_sessions: Limit = "MAX_SESSIONS_PER_USER" in Limits, default "10";
    /// Maximum number of open streams of a user on each core process. A further stream is answered 429. 0: no limit.
    max_streams: Limit = "MAX_STREAMS_PER_USER" in Limits, default "100";
    /// Maximum number of characters of a message. 0: no limit but that of the body.
    max_message_chars: Limit = "MAX_MESSAGE_CHARS" in Limits, default "500";
    /// Maximum number of tokens that a user's runs can use per day (UTC), input and output. 0: no limit.
    budget_tokens_per_day: Limit = "BUDGET_TOKENS_PER_DAY" in Limits, default "0";
    /// Maximum cost of a user's runs per day (UTC), such as `0.50`, in the currency of the prices in the agents file.
    /// With this limit, a model without a price cannot be used.
    budget_cost_per_day: Option<Money> = "BUDGET_COST_PER_DAY" in Limits, unset "no limit";
    /// Tokens of the budget that a run reserves while it is active, since its usage is known only at its end.
    budget_hold_tokens: Number<1, 10_000_000> = "BUDGET_HOLD_TOKENS" in Limits, default "4000";
    /// Maximum number of tokens that all runs together can use per day (UTC), input and output. 0: no limit.
    global_budget_tokens_per_day: Limit = "GLOBAL_BUDGET_TOKENS_PER_DAY" in Limits, default "0";
    /// Maximum cost of all runs together per day (UTC), in the currency of the prices in the agents file. With this
    /// limit, a model without a price cannot be used.
    global_budget_cost_per_day: Option<Money> = "GLOBAL_BUDGET_COST_PER_DAY" in Limits, unset "no limit";
    /// Percentage of the budgets that all users share, from which on a warning is logged once a day.
    global_budget_warn_percent: Number<1, 100> = "GLOBAL_BUDGET_WARN_PERCENT" in Limits, default "80";
    /// Days after which an unused conversation is archived: it is not listed and does not count for
    /// MAX_SESSIONS_PER_USER, but it is not deleted. 0: never.
    session_max_idle_days: Limit = "SESSION_MAX_IDLE_DAYS" in Limits, default "30";
    /// Days after which an unused conversation is deleted for good, with everything that belongs to it. Agents can have
    /// another number (`retention_days` in the agents file). 0: never.
    retention_days: Limit = "RETENTION_DAYS" in Limits, default "0";
    /// Hours after its last use when a temporary conversation is deleted.
    temporary_session_hours: Number<1, 8760> = "TEMPORARY_SESSION_HOURS" in Limits, default "24";

    /// Address of the REST API.
    rest_listen: SocketAddr = "REST_LISTEN" in Rest, default "127.0.0.1:8000";
    /// Origins of the web pages that can call the API: a comma list or a JSON array; `*` is any.
    cors_origins: Option<Origins> = "CORS_ORIGINS" in Rest, unset "none";
    /// Whether the chat page is served at `/chat`.
    chat_page: bool = "CHAT_PAGE" in Rest, default "true";
    /// Origins whose images the chat page shows in widgets, besides its own: a comma list, such as
    /// `https://images.example`.
    chat_image_origins: Option<Origins> = "CHAT_IMAGE_ORIGINS" in Rest, unset "none";
    /// Whether to send `Strict-Transport-Security`. Set it only if all clients use HTTPS.
    hsts: bool = "HSTS" in Rest, default "false";

    /// Address of the core: JSON-RPC over HTTP and WebSocket.
    rpc_listen: SocketAddr = "RPC_LISTEN" in Rpc, default "127.0.0.1:8001";
    /// Maximum number of entries of a JSON-RPC batch.
    max_batch_entries: Number<1, 10_000> = "MAX_BATCH_ENTRIES" in Rpc, default "50";

    /// URL of the core that `threadline gateway` uses, such as `ws://127.0.0.1:8001` or `wss://core.example`.
    core_url: Option<CoreUrl> = "CORE_URL" in Split, unset "", flag "core";

    /// Addresses and networks of your proxies, as a comma list. `X-Forwarded-For` of other peers is ignored.
    trusted_proxies: Option<Networks> = "TRUSTED_PROXIES" in Network, unset "none";
    /// Certificate chain in PEM. With TLS_KEY_FILE, all listeners use TLS only.
    tls_cert_file: Option<PathBuf> = "TLS_CERT_FILE" in Network, unset "no TLS";
    /// Private key of the certificate in PEM.
    tls_key_file: Option<PathBuf> = "TLS_KEY_FILE" in Network, unset "no TLS";
    /// Maximum size of a request body in bytes. A larger one is answered 413.
    max_body_bytes: Number<1024, 1_073_741_824> = "MAX_BODY_BYTES" in Network, default "1048576";
    /// Maximum number of connections of each listener. Further ones are answered 503. Each connection needs a file
    /// descriptor (`ulimit -n`).
    max_connections: Number<1, 1_000_000> = "MAX_CONNECTIONS" in Network, default "10000";
    /// Maximum number of connections of one address (IPv6: of one /64 network) on each listener. Connections of
    /// TRUSTED_PROXIES are not limited. 0: no limit.
    max_connections_per_address: Option<Limit> = "MAX_CONNECTIONS_PER_ADDRESS" in Network, unset "three quarters of MAX_CONNECTIONS";
    /// Address of a listener for operators: `/metrics`, `/health/...` and `/admin` are served there, and not on the
    /// other listeners. `/health` is on each listener.
    ops_listen: Option<SocketAddr> = "OPS_LISTEN" in Network, unset "they are on the other listeners";
    /// Secret by which a gateway in a separate process proves to the core that it is a gateway: the same on both sides.
    /// Without it, `threadline core` trusts every client that claims to be a gateway.
    gateway_secret: Option<SecretString> = "GATEWAY_SECRET" in Network, unset "none";
    /// Seconds for which runs can continue after SIGTERM. After that they are closed as interrupted.
    drain_seconds: Number<0, 3600> = "DRAIN_SECONDS" in Network, default "10";

    /// `error`, `warn`, `info`, `debug` or `trace`, or directives per module such as `info,threadline_core=debug`.
    log_level: LogFilter = "LOG_LEVEL" in Logging, default "info";
    /// `json`, one object per line, or `pretty`, for terminals.
    log_format: Option<LogFormat> = "LOG_FORMAT" in Logging, unset "pretty on a terminal, else json";
    /// Milliseconds from which on work in the database, with its wait for a connection, is logged as slow. 0: never.
    slow_query: Limit = "SLOW_QUERY_MS" in Logging, default "500";
    /// Milliseconds from which on a call of a tool is logged as slow. 0: never.
    slow_tool: Limit = "SLOW_TOOL_MS" in Logging, default "10000";

    /// URL of an OpenTelemetry collector, such as `http://127.0.0.1:4318`, that traces are sent to.
    otel_endpoint: Option<HttpUrl> = "OTEL_EXPORTER_OTLP_ENDPOINT" in Telemetry, unset "no traces";
    /// How traces are sent: `http/protobuf`, usually to port 4318, or `grpc`, usually to port 4317.
    otel_protocol: OtlpProtocol = "OTEL_EXPORTER_OTLP_PROTOCOL" in Telemetry, default "http/protobuf";
    /// Headers of requests to the collector, such as keys: `NAME=VALUE,...`, with special characters percent-encoded.
    otel_headers: Option<OtlpHeaders> = "OTEL_EXPORTER_OTLP_HEADERS" in Telemetry, unset "none";
    /// Name of the service in traces.
    otel_service_name: Option<String> = "OTEL_SERVICE_NAME" in Telemetry, unset "`service.name` of OTEL_RESOURCE_ATTRIBUTES, else `threadline`";
    /// Attributes of the process in traces: `NAME=VALUE,...`, with special characters percent-encoded.
    otel_attributes: Option<ResourceAttributes> = "OTEL_RESOURCE_ATTRIBUTES" in Telemetry, unset "none";
    /// Which traces are sampled: `always_on`, `always_off` or `traceidratio`. After `parentbased_`, a caller that sends
    /// `traceparent` decides for its requests.
    otel_sampler: TraceSampler = "OTEL_TRACES_SAMPLER" in Telemetry, default "parentbased_always_on";
    /// Part of the traces that the sampler `traceidratio` samples, from 0 to 1.
    otel_sampler_arg: Ratio = "OTEL_TRACES_SAMPLER_ARG" in Telemetry, default "1.0";
    /// URL that errors are posted to, each as a small JSON document (docs/OPERATIONS.md): for a relay to Sentry and the
    /// like.
    error_report_url: Option<ReportUrl> = "ERROR_REPORT_URL" in Telemetry, unset "errors are only logged";
}
