//! THE TABLE: one row per setting. The typed [`Settings`], the flags, `.env.example` and the README's table are read
//! from it.

use super::ConfigError;
use super::setting::{Fallback, Group, Setting, Slot};
use super::value::{
    AttachmentsUrl, CoreUrl, DatabaseUrl, HttpUrl, Limit, LogFilter, LogFormat, MediaTypes, Money, Networks, Number,
    Origins, RedisUrl, Synchronous, Value,
};
use secrecy::SecretString;
use std::net::SocketAddr;
use std::path::PathBuf;
use threadline_core::config::TokenAlgorithm;

/// Declares the settings: `/// doc`, then `field: Type = "VARIABLE" in Group`, then in this order what applies of
/// `default "text"`, `unset "what that means"`, `alias "OTHER_VARIABLE"` and `flag "other-flag"`.
/// A setting without a default has a type of `Option`.
macro_rules! settings {
    ($(
        $(#[doc = $doc:literal])+
        $field:ident : $type:ty = $name:literal in $group:ident
            $(, default $default:literal)? $(, unset $unset:literal)?
            $(, alias $alias:literal)? $(, flag $flag:literal)? ;
    )+) => {
        /// Every setting, read and checked one by one. What several of them mean together is checked where
        /// [`CoreConfig`](threadline_core::config::CoreConfig) and [`ServerConfig`](super::ServerConfig) are made.
        #[derive(Debug, Clone)]
        pub struct Settings {
            $( $(#[doc = $doc])+ pub $field: $type, )+
        }

        impl Settings {
            /// Every setting as data, in the order of documents.
            pub const TABLE: &'static [Setting] = &[$(rows::$field),+];

            /// Reads every setting through `lookup`, which is asked for names of variables.
            ///
            /// # Errors
            ///
            /// The first setting of the table that has a wrong value.
            pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
                Ok(Self { $( $field: Slot::fill(&rows::$field, rows::$field.find(lookup))?, )+ })
            }
        }

        // A row is named like its field, so that the macro can reach it.
        #[allow(non_upper_case_globals)]
        mod rows {
            use super::*;
            $(
                pub(super) const $field: Setting = Setting {
                    name: $name,
                    aliases: &[$($alias)?],
                    group: Group::$group,
                    doc: concat!($($doc),+),
                    default: settings!(@default $(text $default)? $(unset $unset)?),
                    secret: <<$type as Slot>::Of as Value>::SECRET,
                    expected: <<$type as Slot>::Of as Value>::expected,
                    placeholder: <<$type as Slot>::Of as Value>::PLACEHOLDER,
                    switch: <<$type as Slot>::Of as Value>::SWITCH,
                    flag_name: settings!(@flag $($flag)?),
                };
            )+
        }
    };
    (@default text $text:literal) => { Fallback::Text($text) };
    (@default unset $words:literal) => { Fallback::Unset($words) };
    (@flag $flag:literal) => { Some($flag) };
    (@flag) => { None };
}

settings! {
    /// Where conversations are kept: `sqlite://PATH`, which needs nothing else, or
    /// `postgres://USER:PASSWORD@HOST/DATABASE`. `?sslmode=require` at the end of the latter asks for TLS.
    database_url: DatabaseUrl = "DATABASE_URL" in Database, default "sqlite://threadline.db";
    /// Connections to PostgreSQL. SQLite always has one writer and four readers.
    database_pool_size: Number<1, 1000> = "DATABASE_POOL_SIZE" in Database, default "20";
    /// Seconds a request waits for a database connection before it answers 503.
    database_pool_timeout: Number<1, 300> = "DATABASE_POOL_TIMEOUT_SECONDS" in Database, default "5";
    /// Whether the schema is brought up to date at start. If false, run `threadline migrate` before each upgrade.
    auto_migrate: bool = "AUTO_MIGRATE" in Database, default "true";
    /// How SQLite waits for the disk. `full`: nothing acknowledged is lost in a power cut. `normal`: several times
    /// as many writes per second, and a power cut may lose the last of them.
    sqlite_synchronous: Synchronous = "SQLITE_SYNCHRONOUS" in Database, default "full";
    /// Redis, for several replicas on one PostgreSQL: with it they share their rate limits, and an answer appears at
    /// once whichever replica follows it. One process needs none.
    redis_url: Option<RedisUrl> = "REDIS_URL" in Database, unset "none";

    /// Key that signs tokens: at least 32 characters, for example from `openssl rand -hex 32`. Every process that
    /// shares a database needs the same one. PostgreSQL does not start without it.
    secret_key: Option<SecretString> = "SECRET_KEY" in Accounts, unset "a random one for this run", alias "JWT_SECRET";
    /// How tokens are signed: HS256, HS384 or HS512. A token signed in another way is refused.
    algorithm: TokenAlgorithm = "ALGORITHM" in Accounts, default "HS256";
    /// Minutes that a token from `auth.login` works.
    token_lifetime: Number<1, 5_256_000> = "ACCESS_TOKEN_EXPIRE_MINUTES" in Accounts, default "1440";

    /// Where the files are kept that go with messages: a directory, as a path or as `file:///PATH`, or a bucket that speaks
    /// S3, as `s3://BUCKET/PREFIX`. Of a bucket, keys, region and endpoint are read from the usual `AWS_*` variables.
    /// Several replicas need one that they share.
    attachments_url: Option<AttachmentsUrl> = "ATTACHMENTS_URL" in Attachments, unset "`threadline-attachments` beside the SQLite file, else in the working directory";
    /// Where clients reach the REST API: URLs for uploads and previews begin with it.
    public_url: Option<HttpUrl> = "PUBLIC_URL" in Attachments, unset "the address of REST_LISTEN";
    /// Bytes of one attachment. Of images no more than 33554432, whatever stands here.
    max_attachment_bytes: Number<1, 1_073_741_824> = "MAX_ATTACHMENT_BYTES" in Attachments, default "20971520";
    /// Bytes that the attachments of a user may come to in all. 0: no limit.
    max_attachment_bytes_per_user: Limit = "MAX_ATTACHMENT_BYTES_PER_USER" in Attachments, default "500000000";
    /// Media types of attachments: a comma list, in which `*` at the end stands for anything.
    attachment_types: MediaTypes = "ATTACHMENT_TYPES" in Attachments, default "image/png,image/jpeg,image/gif,image/webp,text/*,application/pdf,application/json";

    /// Key for the model's server. Without any key and base URL the built-in demo model answers.
    openrouter_api_key: Option<SecretString> = "OPENROUTER_API_KEY" in Model, unset "the demo model";
    /// Any server that speaks OpenAI's chat completions; `/chat/completions` is appended. Set alone it is used
    /// without a key, as a llama.cpp or vLLM of your own allows.
    openrouter_base_url: Option<HttpUrl> = "OPENROUTER_BASE_URL" in Model, unset "https://openrouter.ai/api/v1";
    /// Name of the model, as its server knows it.
    openrouter_model: String = "OPENROUTER_MODEL" in Model, default "openai/gpt-4o-mini";
    /// Address of your site, sent as `HTTP-Referer`, by which OpenRouter attributes use.
    openrouter_site_url: Option<HttpUrl> = "OPENROUTER_SITE_URL" in Model, unset "";
    /// Name of your application, sent as `X-Title`.
    openrouter_app_name: Option<String> = "OPENROUTER_APP_NAME" in Model, unset "";
    /// Key for Google Gemini, used through its OpenAI-compatible endpoint when neither OPENROUTER_API_KEY nor
    /// OPENROUTER_BASE_URL is set.
    gemini_api_key: Option<SecretString> = "GEMINI_API_KEY" in Model, unset "";
    /// Name of the Gemini model.
    gemini_model: String = "GEMINI_MODEL" in Model, default "gemini-2.5-flash";
    /// Seconds that connecting to the model's server may take.
    agent_connect_timeout: Number<1, 300> = "AGENT_CONNECT_TIMEOUT_SECONDS" in Model, default "5";
    /// Seconds to wait for a model's first token, and for each token after it.
    agent_timeout: Number<1, 3600> = "AGENT_TIMEOUT_SECONDS" in Model, default "30";
    /// Tries of one request to the model, the first included. After the first token nothing is tried again.
    agent_max_attempts: Number<1, 10> = "AGENT_MAX_ATTEMPTS" in Model, default "3";
    /// Name of the model that turns speech into text, at the server of the other model (`/audio/transcriptions`).
    transcription_model: Option<String> = "TRANSCRIPTION_MODEL" in Model, unset "speech is refused";
    /// Name of the model that gives conversations their titles, at the server of the other model. It is asked once, beside
    /// the answer to the first message, whose words are the title until then.
    title_model: Option<String> = "TITLE_MODEL" in Model, unset "the first message's words stay the title";
    /// Milliseconds that the demo model waits between two words.
    demo_word_pause: Number<0, 10_000> = "DEMO_WORD_PAUSE_MS" in Model, default "30";

    /// File with the assistant's instructions (its system prompt). No client can see or replace them.
    agent_instructions_file: Option<PathBuf> = "AGENT_INSTRUCTIONS_FILE" in Agent, unset "an assistant that keeps a to-do list";
    /// File with agents, the tools they may use and where those are (docs/AGENTS.md). SIGHUP has it read again.
    agents_file: Option<PathBuf> = "AGENTS_FILE" in Agent, unset "one agent with every built-in tool";
    /// Calls of the model in one run, at most; each round of tools takes one.
    agent_max_turns: Number<1, 100> = "AGENT_MAX_TURNS" in Agent, default "10";
    /// Seconds that a run may take in all.
    run_max_seconds: Number<1, 86_400> = "RUN_MAX_SECONDS" in Agent, default "600";
    /// Minutes for which the events of a run that has ended can be read again, one by one. After that a reader who was
    /// in their middle gets the answer as it stands.
    run_events_retention: Number<0, 525_600> = "RUN_EVENTS_RETENTION_MINUTES" in Agent, default "60";
    /// Milliseconds between two writes of what the active runs have emitted: a crash takes that much of an answer, and
    /// nothing else. 0: no writes, and a crash takes the whole answer that was being written.
    run_events_interval: Limit = "RUN_EVENTS_INTERVAL_MS" in Agent, default "40";
    /// Milliseconds that an answer goes on after the client has closed its request to `/chatkit`: when nobody follows
    /// the answer by then, it is cancelled.
    chatkit_cancel_grace: Number<0, 600_000> = "CHATKIT_CANCEL_GRACE_MS" in Agent, default "2000";
    /// Newest items of a conversation that the model is shown.
    agent_history_items: Number<1, 10_000> = "AGENT_HISTORY_ITEMS" in Agent, default "100";

    /// Requests a minute of one user over every transport, or of one address without a token. 0: no limit.
    rate_limit: Limit = "RATE_LIMIT_REQUESTS_PER_MINUTE" in Limits, default "30";
    /// Conversations a user may have at a time. 0: no limit.
    max_sessions: Limit = "MAX_SESSIONS_PER_USER" in Limits, default "10";
    /// Streams a user may have open at a time, on each core process; one more answers 429. 0: no limit.
    max_streams: Limit = "MAX_STREAMS_PER_USER" in Limits, default "100";
    /// Characters of one message. 0: no limit but that of the body.
    max_message_chars: Limit = "MAX_MESSAGE_CHARS" in Limits, default "500";
    /// Tokens that a user's runs may use in a day (UTC), read and written. 0: no limit.
    budget_tokens_per_day: Limit = "BUDGET_TOKENS_PER_DAY" in Limits, default "0";
    /// What a user's runs may cost in a day (UTC), such as `0.50`, in the currency of the prices in the agents file. A model
    /// without a price then answers nobody.
    budget_cost_per_day: Option<Money> = "BUDGET_COST_PER_DAY" in Limits, unset "no limit";
    /// Tokens of the budget that a run holds while it goes on, since nobody knows what it will use.
    budget_hold_tokens: Number<1, 10_000_000> = "BUDGET_HOLD_TOKENS" in Limits, default "4000";
    /// Days after which an untouched conversation is archived: out of the list and out of MAX_SESSIONS_PER_USER, but
    /// not deleted. 0: never.
    session_max_idle_days: Limit = "SESSION_MAX_IDLE_DAYS" in Limits, default "30";

    /// Where the REST API listens.
    rest_listen: SocketAddr = "REST_LISTEN" in Rest, default "127.0.0.1:8000";
    /// Origins of the web pages that may call the API: a comma list or a JSON array; `*` is any.
    cors_origins: Option<Origins> = "CORS_ORIGINS" in Rest, unset "none";
    /// Whether there is a page to chat on, at `/chat`.
    chat_page: bool = "CHAT_PAGE" in Rest, default "true";
    /// Whether to send `Strict-Transport-Security`. Only when every client comes by HTTPS.
    hsts: bool = "HSTS" in Rest, default "false";

    /// Where the core listens for JSON-RPC over HTTP and WebSocket.
    rpc_listen: SocketAddr = "RPC_LISTEN" in Rpc, default "127.0.0.1:8001";
    /// Entries of one JSON-RPC batch.
    max_batch_entries: Number<1, 10_000> = "MAX_BATCH_ENTRIES" in Rpc, default "50";

    /// The core that `threadline gateway` translates for, such as `ws://127.0.0.1:8001` or `wss://core.example`.
    core_url: Option<CoreUrl> = "CORE_URL" in Split, unset "", flag "core";

    /// Addresses and networks of the proxies in front, as a comma list. Only their `X-Forwarded-For` is believed.
    trusted_proxies: Option<Networks> = "TRUSTED_PROXIES" in Network, unset "none";
    /// Certificate chain in PEM. With TLS_KEY_FILE every listener speaks TLS, and nothing else.
    tls_cert_file: Option<PathBuf> = "TLS_CERT_FILE" in Network, unset "no TLS";
    /// Private key of the certificate, in PEM.
    tls_key_file: Option<PathBuf> = "TLS_KEY_FILE" in Network, unset "no TLS";
    /// Bytes of one request's body; more answers 413.
    max_body_bytes: Number<1024, 1_073_741_824> = "MAX_BODY_BYTES" in Network, default "1048576";
    /// Connections of one listener at a time; more are answered 503. Each needs a file descriptor (`ulimit -n`).
    max_connections: Number<1, 1_000_000> = "MAX_CONNECTIONS" in Network, default "10000";
    /// Seconds that runs have to finish in after SIGTERM, before they are closed as interrupted.
    drain_seconds: Number<0, 3600> = "DRAIN_SECONDS" in Network, default "10";

    /// `error`, `warn`, `info`, `debug` or `trace`, or directives per module such as `info,threadline_core=debug`.
    log_level: LogFilter = "LOG_LEVEL" in Logging, default "info";
    /// `json`, one object a line, or `pretty`, for people.
    log_format: Option<LogFormat> = "LOG_FORMAT" in Logging, unset "pretty on a terminal, else json";
}
