//! Settings -> configuration of the core. Reads the groups Storage, Tokens, Model, Assistant and Limits.

use super::sources::Variables;
use super::value::Money;
use super::{ConfigError, Settings};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use threadline_core::config::{
    AgentConfig, AgentsConfig, AuthConfig, BudgetConfig, CoreConfig, DatabaseConfig, DemoConfig, LimitsConfig,
    ModelConfig, OpenAiConfig, ProcessConfig, ProviderConfig, RedisConfig, Registration,
};

/// Gemini's OpenAI-compatible endpoint (<https://ai.google.dev/gemini-api/docs/openai>).
pub const GEMINI_BASE_URL: &str = "https://generativelanguage.googleapis.com/v1beta/openai";

const OPENROUTER_BASE_URL: &str = "https://openrouter.ai/api/v1";

/// RFC 7518, section 3.2: a key for HMAC with SHA-256 has at least as many bits as the hash.
const SECRET_BYTES: usize = 32;

const DEFAULT_INSTRUCTIONS: &str = include_str!("instructions.md");

impl Settings {
    /// Returns the configuration of the core, and warnings for the log.
    ///
    /// # Errors
    ///
    /// When a setting contradicts another, or a file cannot be read or is invalid.
    pub fn core(&self) -> Result<(CoreConfig, Vec<String>), ConfigError> {
        let (auth, mut warnings) = self.auth()?;
        let (registration, reason) = self.registration();
        warnings.extend(reason);
        let config = CoreConfig {
            database: self.database(),
            redis: self.redis(),
            auth,
            provider: self.provider()?,
            registration,
            audit_retention: self.audit_retention_days.days(),
            model: self.model(),
            agent: self.agent()?,
            agents: self.agents()?,
            limits: self.limits(),
            budget: self.budget(),
            session_max_idle: self.session_max_idle_days.days(),
            retention: self.retention_days.days(),
            temporary_lifetime: self.temporary_session_hours.seconds() * 3600,
            run_events_retention: self.run_events_retention.seconds() * 60,
            run_events_interval: self.run_events_interval.milliseconds(),
            cancel_grace: self.chatkit_cancel_grace.millis(),
            trusted_proxies: self.trusted_networks(),
            attachments: self.attachments(self.rest_listen),
            agents_file: super::agents_file::agents_file(self),
            process: ProcessConfig {
                host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
                address: String::new(),
            },
            shown_settings: self.shown.clone(),
        };
        Ok((config, warnings))
    }

    /// Returns the number of tokens that models can read and write, if it is set.
    pub fn context_tokens(&self) -> Option<u64> {
        self.context_tokens.map(|tokens| u64::from(tokens.get()))
    }

    /// Returns the configuration of the database, for commands that need nothing else of the core.
    pub fn database(&self) -> DatabaseConfig {
        DatabaseConfig {
            url: self.database_url.as_str().into(),
            direct_url: self.database_direct_url.as_ref().map(|url| url.as_str().into()),
            prepared: self.database_prepared,
            pool_size: self.database_pool_size.as_usize(),
            pool_timeout: self.database_pool_timeout.seconds(),
            auto_migrate: self.auto_migrate,
            sqlite_full_sync: self.sqlite_synchronous == super::Synchronous::Full,
            allow_network_file_system: self.sqlite_network_file_system == super::NetworkFileSystem::Allow,
        }
    }

    /// Returns the configuration of Redis, for commands that need nothing else of the core.
    pub fn redis(&self) -> Option<RedisConfig> {
        self.redis_url.as_ref().map(|url| RedisConfig { url: url.as_str().into() })
    }

    /// Returns the configuration of the model: a server whose key or base URL is set, else Gemini, else the demo model.
    pub fn model(&self) -> ModelConfig {
        let openai = |base_url: &str, key: SecretString, model: &str| OpenAiConfig {
            base_url: base_url.into(),
            api_key: key,
            model: model.to_owned(),
            site_url: None,
            app_name: None,
            connect_timeout: self.agent_connect_timeout.seconds(),
            token_timeout: self.agent_timeout.seconds(),
            max_attempts: self.agent_max_attempts.get(),
            transcription_model: self.transcription_model.clone(),
            dialect: self.model_dialect.clone().map(Arc::new),
        };
        if self.openrouter_api_key.is_some() || self.openrouter_base_url.is_some() {
            let base_url = self.openrouter_base_url.as_ref().map_or(OPENROUTER_BASE_URL, |url| url.as_str());
            let key = self.openrouter_api_key.clone().unwrap_or_default();
            return ModelConfig::OpenAi(OpenAiConfig {
                site_url: self.openrouter_site_url.as_ref().map(|url| url.as_str().to_owned()),
                app_name: self.openrouter_app_name.clone(),
                ..openai(base_url, key, &self.openrouter_model)
            });
        }
        match &self.gemini_api_key {
            Some(key) => ModelConfig::OpenAi(openai(GEMINI_BASE_URL, key.clone(), &self.gemini_model)),
            None => ModelConfig::Demo(DemoConfig { word_pause: self.demo_word_pause.millis() }),
        }
    }

    /// Returns the configuration of tokens, for a command whose token a server checks later.
    ///
    /// # Errors
    ///
    /// When `SECRET_KEY` is not set, or too short for the database.
    pub fn persistent_auth(&self) -> Result<AuthConfig, ConfigError> {
        match self.secret_key {
            Some(_) => self.auth().map(|(auth, _)| auth),
            None => Err(ConfigError::new(
                "SECRET_KEY",
                "is not set, so no server would accept the token; set the key that the server has",
            )),
        }
    }

    fn auth(&self) -> Result<(AuthConfig, Vec<String>), ConfigError> {
        let postgres = self.database_url.is_postgres();
        let mut warnings = Vec::new();
        let mut former_secrets = Vec::new();
        let secret = match &self.secret_key {
            Some(secrets) => {
                let mut secrets = split_secrets(secrets);
                for secret in &secrets {
                    let length = secret.expose_secret().len();
                    if length >= SECRET_BYTES {
                        continue;
                    }
                    let problem =
                        format!("has {length} bytes, at least {SECRET_BYTES} are needed: openssl rand -hex 32");
                    // Where others can try tokens, a key that can be guessed is not a key.
                    if postgres || !self.rest_listen.ip().is_loopback() || !self.rpc_listen.ip().is_loopback() {
                        return Err(ConfigError::new("SECRET_KEY", problem));
                    }
                    warnings.push(format!("SECRET_KEY {problem}"));
                }
                former_secrets = secrets.split_off(1.min(secrets.len()));
                let Some(secret) = secrets.pop() else {
                    return Err(ConfigError::new("SECRET_KEY", "has only commas: openssl rand -hex 32"));
                };
                secret
            }
            None if postgres => {
                return Err(ConfigError::new(
                    "SECRET_KEY",
                    "is not set, and all processes that share a PostgreSQL database need the same one: openssl rand -hex 32",
                ));
            }
            None => {
                warnings.push("SECRET_KEY is not set: tokens work until this process ends".to_owned());
                random_secret()
            }
        };
        let auth = AuthConfig {
            secret,
            former_secrets,
            algorithm: self.algorithm,
            token_lifetime: self.token_lifetime.minutes(),
        };
        Ok((auth, warnings))
    }

    /// Returns the identity provider whose tokens are accepted.
    ///
    /// # Errors
    ///
    /// When only a part of its settings is there.
    pub fn provider(&self) -> Result<Option<ProviderConfig>, ConfigError> {
        let Some(issuer) = &self.auth_issuer else {
            return match (&self.auth_jwks_url, &self.auth_audience) {
                (None, None) => Ok(None),
                _ => Err(ConfigError::new(
                    "AUTH_ISSUER",
                    "is not set, but AUTH_JWKS_URL or AUTH_AUDIENCE is; set it to the claim `iss` of the provider's tokens",
                )),
            };
        };
        let audiences = self.auth_audience.as_deref().unwrap_or_default();
        let audiences: Vec<_> =
            audiences.split(',').map(str::trim).filter(|audience| !audience.is_empty()).map(str::to_owned).collect();
        if audiences.is_empty() {
            return Err(ConfigError::new(
                "AUTH_AUDIENCE",
                "is not set, so tokens for other applications of the provider would be accepted; set it to the claim \
                 `aud` of your tokens, usually a client id",
            ));
        }
        Ok(Some(ProviderConfig {
            issuer: issuer.as_str().to_owned(),
            jwks_url: self.auth_jwks_url.as_ref().map(|url| url.as_str().to_owned()),
            audiences,
            email_claim: self.auth_claim_email.clone(),
            roles_claim: self.auth_claim_roles.clone(),
            budget_class_claim: self.auth_claim_budget_class.clone(),
        }))
    }

    /// Returns who can register, and a warning for the operator if registration is closed by default.
    fn registration(&self) -> (Registration, Option<String>) {
        if let Some(registration) = self.registration {
            return (registration, None);
        }
        let listens_here_only = self.rest_listen.ip().is_loopback() && self.rpc_listen.ip().is_loopback();
        let reason = if self.database_url.is_postgres() {
            "the database is PostgreSQL"
        } else if !listens_here_only {
            "other machines can reach the service"
        } else if self.tls_cert_file.is_some() {
            "the service uses TLS"
        } else {
            return (Registration::Open, None);
        };
        let warning = format!(
            "REGISTRATION is not set, and {reason}: registration is closed. Create the first account with `threadline user \
             create EMAIL`, or set REGISTRATION to open, invite or closed"
        );
        (Registration::Closed, Some(warning))
    }

    /// Reads the agents file; `None` if no file is set.
    ///
    /// # Errors
    ///
    /// The first error in the file.
    pub fn agents(&self) -> Result<Option<AgentsConfig>, ConfigError> {
        self.agents_from(None)
    }

    /// Reads a text as if it were that of the agents file, or the file itself; `None` if no file is set.
    ///
    /// # Errors
    ///
    /// The first error in it.
    pub fn agents_from(&self, text: Option<&str>) -> Result<Option<AgentsConfig>, ConfigError> {
        let wrong = |problem: String| ConfigError::new("AGENTS_FILE", problem);
        let Some(path) = &self.agents_file else { return Ok(None) };
        let variables = Variables::read()?;
        let variable = |name: &str| variables.get(name);
        let agents = match text {
            None => AgentsConfig::read(path, &variable),
            Some(text) => AgentsConfig::parse(path, text, &variable),
        };
        let agents = agents.map_err(|error| wrong(error.to_string()))?;
        let secret_keys = self.secret_key.as_ref().map(split_secrets).unwrap_or_default();
        let is_secret_key =
            |key: &SecretString| secret_keys.iter().any(|secret| secret.expose_secret() == key.expose_secret());
        let mut contexts = agents.tools.iter().filter_map(|(name, tool)| Some((name, tool.user_context.as_ref()?)));
        if let Some((name, _)) = contexts.find(|(_, context)| is_secret_key(&context.key)) {
            // With it, the called service could issue tokens for all users.
            return Err(wrong(format!("user_context of tools.{name} has the key SECRET_KEY; give it one of its own")));
        }
        Ok(Some(agents))
    }

    fn agent(&self) -> Result<AgentConfig, ConfigError> {
        Ok(AgentConfig {
            instructions: self.instructions()?,
            max_turns: self.agent_max_turns.get(),
            run_timeout: self.run_max_seconds.seconds(),
            history_items: self.agent_history_items.get(),
            context_tokens: self.context_tokens(),
            title_model: self.title_model.as_deref().map(Into::into),
            summary_model: self.summary_model.as_deref().map(Into::into),
        })
    }

    fn instructions(&self) -> Result<Arc<str>, ConfigError> {
        let wrong = |problem: String| ConfigError::new("AGENT_INSTRUCTIONS_FILE", problem);
        let Some(path) = &self.agent_instructions_file else {
            return Ok(DEFAULT_INSTRUCTIONS.trim().into());
        };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(format!("{path:?} cannot be read: {error}")))?;
        match text.trim() {
            "" => Err(wrong(format!("{path:?} is empty"))),
            text => Ok(text.into()),
        }
    }

    fn budget(&self) -> BudgetConfig {
        BudgetConfig {
            tokens: self.budget_tokens_per_day.get().map(|tokens| u64::from(tokens.get())),
            cost_micros: self.budget_cost_per_day.map(Money::micros),
            hold_tokens: u64::from(self.budget_hold_tokens.get()),
            all_tokens: self.global_budget_tokens_per_day.get().map(|tokens| u64::from(tokens.get())),
            all_cost_micros: self.global_budget_cost_per_day.map(Money::micros),
            warn_percent: self.global_budget_warn_percent.get(),
        }
    }

    fn limits(&self) -> LimitsConfig {
        LimitsConfig {
            requests_per_minute: self.rate_limit.get(),
            registrations_per_hour: self.registrations_per_hour.unwrap_or(self.rate_limit).get(),
            sessions_per_user: self.max_sessions.get().map(Into::into),
            streams_per_user: self.max_streams.get().map(Into::into),
            message_chars: self.max_message_chars.get().map(Into::into),
            batch_entries: self.max_batch_entries.as_usize(),
            body_bytes: self.max_body_bytes.as_usize(),
        }
    }
}

/// Splits keys at commas. The first one signs.
fn split_secrets(secrets: &SecretString) -> Vec<SecretString> {
    let keys = secrets.expose_secret().split(',').map(str::trim);
    keys.filter(|key| !key.is_empty()).map(Into::into).collect()
}

/// Returns 64 hexadecimal digits: two random UUIDs with 244 random bits from the operating system.
fn random_secret() -> SecretString {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple()).into()
}
