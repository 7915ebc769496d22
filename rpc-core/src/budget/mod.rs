//! What users may use per day, and what a run reserves of it.

mod refusal;
mod report;

use crate::agent::{AgentRegistry, ResolvedAgent, RunBudget};
use crate::config::{BudgetClass, BudgetConfig, DailyBudget};
use crate::error::Error;
use crate::store::rows::UsageRow;
use crate::store::{Clock, Store, day_of, to_signed, to_unsigned};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use threadline_engine::{EngineError, ModelPrices, cost_micros};
use threadline_schema::ids::{ServiceKeyId, UserId};
use threadline_schema::runs::Usage;
use threadline_schema::usage::{Allowance, Budget};
use threadline_store::{Charge, Reservation, SharedBudget};

/// The budgets of users.
pub(crate) struct Budgets {
    config: BudgetConfig,
    agents: Arc<AgentRegistry>,
    store: Store,
    clock: Arc<Clock>,
    /// The model of agents that name none.
    default_model: String,
    /// Days, scopes and units of shared budgets for which a warning that little is left was logged.
    warned: Mutex<BTreeSet<(i64, String, &'static str)>>,
}

/// Scope of the budget that all runs share.
const ALL_SCOPE: &str = "all";
/// Scope of the budget of an agent, before its name.
const AGENT_SCOPE: &str = "agent:";
/// Scope of the budget of a class of users, before its name.
const CLASS_SCOPE: &str = "class:";
/// Bytes of a recording per token, roughly: compressed speech has about 4 KB a second, and models read 10 tokens of it.
const RECORDING_BYTES_PER_TOKEN: u64 = 400;

impl Budgets {
    pub(crate) fn new(
        config: BudgetConfig,
        agents: Arc<AgentRegistry>,
        store: Store,
        clock: Arc<Clock>,
        default_model: &str,
    ) -> Self {
        Self { config, agents, store, clock, default_model: default_model.to_owned(), warned: Mutex::default() }
    }

    /// Returns the budget class of what a user starts, with a service key or without: that of the key, or the one that
    /// the operator has given to the user, or that of the identity provider. `None` also for a name that is not in the
    /// agents file.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the database cannot be reached.
    pub(crate) async fn class_of(
        &self,
        user_id: UserId,
        key_id: Option<ServiceKeyId>,
    ) -> Result<Option<Arc<BudgetClass>>, Error> {
        if !self.has_classes() {
            return Ok(None);
        }
        let name = self.store.budget_class(user_id, key_id).await?;
        let agents = self.agents.current();
        Ok(name.and_then(|name| agents.budget_classes().get(&*name).cloned()))
    }

    /// Whether there are budget classes: then the agent of a run must be known, with the class of its user.
    pub(crate) fn has_classes(&self) -> bool {
        !self.agents.current().budget_classes().is_empty()
    }

    /// Returns what a run reserves of its user's budget before it starts; `None` without a budget. `agent` must be
    /// known if the budget is in money.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the budget is in money and a model of the agent has no price.
    pub(crate) fn reservation(&self, agent: Option<&ResolvedAgent>) -> Result<Option<Reservation>, Error> {
        self.reservation_after(agent, Charge::default())
    }

    /// Returns what a run must hold before its next request to a model, if it was charged so much until now: that, and
    /// as much as at its start.
    ///
    /// # Errors
    /// Those of [`reservation`](Self::reservation).
    pub(crate) fn reservation_after(
        &self,
        agent: Option<&ResolvedAgent>,
        charge: Charge,
    ) -> Result<Option<Reservation>, Error> {
        let class = agent.and_then(|agent| agent.budget_class.as_deref());
        let (own, shared) = (self.user_budget(class), self.shared_budgets(agent, class));
        if own == DailyBudget::default() && shared.is_empty() {
            return Ok(None);
        }
        let (limit_tokens, limit_micros) = (to_limit(own.tokens), to_limit(own.cost_micros));
        let limits_cost = |limit: i64| limit != i64::MAX;
        let micros = match limits_cost(limit_micros) || shared.iter().any(|budget| limits_cost(budget.limit_micros)) {
            false => 0,
            true => {
                let price = self.highest_price(agent)?;
                let prices = ModelPrices { input_per_million: price, output_per_million: 0.0 };
                cost_micros(prices, Usage { prompt_tokens: self.config.hold_tokens, completion_tokens: 0 })
            }
        };
        let used = charge.prompt_tokens.saturating_add(charge.completion_tokens);
        let tokens = to_signed(self.config.hold_tokens).saturating_add(used);
        let micros = micros.saturating_add(charge.cost_micros.unwrap_or_default());
        let smallest = |own: i64, of: fn(&SharedBudget) -> i64| shared.iter().map(of).fold(own, i64::min);
        // A run cannot reserve more than a whole budget; with a small one, its first request may pass it.
        let (tokens, micros) = match charge == Charge::default() {
            true => (
                tokens.min(smallest(limit_tokens, |budget| budget.limit_tokens)),
                micros.min(smallest(limit_micros, |budget| budget.limit_micros)),
            ),
            false => (tokens, micros),
        };
        Ok(Some(Reservation { tokens, micros, limit_tokens, limit_micros, shared }))
    }

    /// Returns what one user of a class, or of none, may use.
    fn user_budget(&self, class: Option<&BudgetClass>) -> DailyBudget {
        let DailyBudget { tokens, cost_micros } = class.map(|class| class.user).unwrap_or_default();
        DailyBudget { tokens: tokens.or(self.config.tokens), cost_micros: cost_micros.or(self.config.cost_micros) }
    }

    /// Returns the budgets that users share and that a run of this agent is booked on, in the order of their scopes.
    fn shared_budgets(&self, agent: Option<&ResolvedAgent>, class: Option<&BudgetClass>) -> Vec<SharedBudget> {
        let budget = |scope: String, DailyBudget { tokens, cost_micros }: DailyBudget| SharedBudget {
            scope,
            limit_tokens: to_limit(tokens),
            limit_micros: to_limit(cost_micros),
        };
        let if_limited =
            |scope: String, limits: DailyBudget| (limits != DailyBudget::default()).then(|| budget(scope, limits));
        let of_agent =
            agent.and_then(|agent| if_limited(format!("{AGENT_SCOPE}{}", agent.agent.name), agent.agent.budget));
        let all = DailyBudget { tokens: self.config.all_tokens, cost_micros: self.config.all_cost_micros };
        let of_all = if_limited(ALL_SCOPE.to_owned(), all);
        // Also without a limit: a run that continues in another process finds its class here.
        let of_class = class.map(|class| budget(format!("{CLASS_SCOPE}{}", class.name), class.all));
        // `agent:` comes before `all`, and `class:` after it.
        of_agent.into_iter().chain(of_all).chain(of_class).collect()
    }

    /// Returns what a recording holds of the budgets while it is transcribed, and is charged then. `None` without a
    /// budget.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if a budget is in money and the model has no price.
    pub(crate) fn transcription(
        &self,
        agent: &ResolvedAgent,
        model: &str,
        bytes: usize,
    ) -> Result<(Charge, Option<Reservation>), Error> {
        let tokens = (bytes as u64).div_ceil(RECORDING_BYTES_PER_TOKEN).max(1);
        let usage = Usage { prompt_tokens: tokens, completion_tokens: 0 };
        let prices = agent.prices_of(model);
        let cost = prices.map(|prices| cost_micros(prices, usage));
        let charge = Charge { prompt_tokens: to_signed(tokens), completion_tokens: 0, cost_micros: cost };
        let class = agent.budget_class.as_deref();
        // A transcription belongs to no agent: the budgets of all users and of the class count.
        let (own, shared) = (self.user_budget(class), self.shared_budgets(None, class));
        if own == DailyBudget::default() && shared.is_empty() {
            return Ok((charge, None));
        }
        if cost.is_none() && self.limits_cost_of(agent) {
            return Err(no_price(model));
        }
        Ok((
            charge,
            Some(Reservation {
                tokens: charge.prompt_tokens,
                micros: cost.unwrap_or_default(),
                limit_tokens: to_limit(own.tokens),
                limit_micros: to_limit(own.cost_micros),
                shared,
            }),
        ))
    }

    /// Returns the highest price per million tokens that a run may pay: it is not known yet how many tokens it reads
    /// and writes, and with which of its models.
    fn highest_price(&self, agent: Option<&ResolvedAgent>) -> Result<f64, Error> {
        let agent = agent.ok_or_else(|| Error::internal("a run with a budget in money has no agent"))?;
        let mut highest: f64 = 0.0;
        for model in &*agent.models {
            let model = model.as_deref().unwrap_or(&self.default_model);
            let prices = agent.prices_of(model).ok_or_else(|| no_price(model))?;
            highest = highest.max(prices.input_per_million).max(prices.output_per_million);
        }
        // The title of a first message is paid from the reservation of its run.
        if let Some(prices) = agent.agent.title_model.as_deref().and_then(|model| agent.prices_of(model)) {
            highest = highest.max(prices.input_per_million).max(prices.output_per_million);
        }
        Ok(highest)
    }

    /// Returns whether the budget of each user, or that of all, is in money and needs prices.
    pub(crate) fn limits_cost(&self) -> bool {
        self.config.cost_micros.is_some() || self.config.all_cost_micros.is_some()
    }

    /// Returns what is left today of the budget of a user of this class; `None` if the user has no budget and no class.
    pub(crate) fn status(&self, class: Option<&BudgetClass>, today: &UsageRow) -> Option<Budget> {
        let limits = self.user_budget(class);
        if limits == DailyBudget::default() && class.is_none() {
            return None;
        }
        let tokens = limits.tokens.map(|limit| {
            allowance(limit, today.prompt_tokens.saturating_add(today.completion_tokens), today.held_tokens)
        });
        let cost_micros = limits.cost_micros.map(|limit| allowance(limit, today.cost_micros, today.held_micros));
        let class = class.map(|class| class.name.to_string());
        Some(Budget { tokens, cost_micros, class, resets_at: self.resets_at() })
    }

    /// Returns today, in days since 1970-01-01 UTC.
    pub(crate) fn today(&self) -> i64 {
        day_of(self.clock.now())
    }
}

impl RunBudget for Budgets {
    fn reservation_after(&self, agent: &ResolvedAgent, charge: Charge) -> Result<Option<Reservation>, Error> {
        Budgets::reservation_after(self, Some(agent), charge)
    }

    fn scopes_beside_runs(&self, agent: &ResolvedAgent) -> String {
        let shared = self.shared_budgets(None, agent.budget_class.as_deref());
        shared.into_iter().map(|budget| budget.scope).collect::<Vec<_>>().join("\n")
    }

    fn limits_cost_of(&self, agent: &ResolvedAgent) -> bool {
        let class = agent.budget_class.as_deref();
        self.user_budget(class).cost_micros.is_some()
            || self.shared_budgets(None, class).iter().any(|budget| budget.limit_micros != i64::MAX)
    }

    fn is_used_up(&self, agent: &ResolvedAgent, today: &UsageRow) -> bool {
        let status = self.status(agent.budget_class.as_deref(), today);
        let is_empty = |allowance: Option<Allowance>| allowance.is_some_and(|allowance| allowance.left == 0);
        status.is_some_and(|budget| is_empty(budget.tokens) || is_empty(budget.cost_micros))
    }

    fn class_of_run(&self, scopes: &str) -> Option<Arc<BudgetClass>> {
        let name = scopes.lines().find_map(|scope| scope.strip_prefix(CLASS_SCOPE))?;
        self.agents.current().budget_classes().get(name).cloned()
    }

    fn explain(&self, error: EngineError) -> Error {
        Budgets::explain(self, error)
    }
}

/// Returns the state of a budget.
fn allowance(limit: u64, used: i64, held: i64) -> Allowance {
    let (used, held) = (to_unsigned(used), to_unsigned(held));
    Allowance { limit, used, held, left: limit.saturating_sub(used).saturating_sub(held) }
}

fn no_price(model: &str) -> Error {
    Error::unavailable("The model has no price, so your budget cannot be kept. Its operator has to add one.")
        .because(format!("a budget in money is set, and the model {model:?} has no price in the agents file"))
}

/// Returns a limit as the database compares it.
fn to_limit(limit: Option<u64>) -> i64 {
    limit.map_or(i64::MAX, to_signed)
}
