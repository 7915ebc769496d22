//! `system.*` and `rpc.discover`

use crate::error::Error;
use crate::health::HealthChecks;
use crate::rpc::call::CallContext;
use crate::rpc::openrpc;
use crate::rpc::registry::Registry;
use serde_json::{Map, Value};
use std::sync::{Arc, OnceLock};
use threadline_schema::auth::Nothing;
use threadline_schema::system::{Health, HealthParams, MessageLimits, RpcDiscover, SystemHealth, SystemLimits};

/// Handlers of `system.*` and `rpc.*`.
pub(crate) struct SystemMethods {
    pub(crate) health: HealthChecks,
    pub(crate) limits: MessageLimits,
}

impl SystemMethods {
    pub(crate) fn register(self, registry: &mut Registry) {
        registry
            .namespace(self)
            .command(SystemHealth, Self::health)
            .command(SystemLimits, Self::limits)
            .command(RpcDiscover, Self::discover);
    }

    async fn health(self: Arc<Self>, _: CallContext, params: HealthParams) -> Result<Health, Error> {
        Ok(self.health.check(params).await)
    }

    async fn limits(self: Arc<Self>, _: CallContext, _: Nothing) -> Result<MessageLimits, Error> {
        Ok(self.limits.clone())
    }

    async fn discover(self: Arc<Self>, _: CallContext, _: Nothing) -> Result<Map<String, Value>, Error> {
        // It depends on nothing but the contract.
        static DOCUMENT: OnceLock<Map<String, Value>> = OnceLock::new();
        Ok(DOCUMENT.get_or_init(openrpc::document).clone())
    }
}
