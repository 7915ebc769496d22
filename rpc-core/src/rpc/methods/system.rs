//! `system.*` and `rpc.discover`

use crate::core::Core;
use crate::error::Error;
use crate::health;
use crate::rpc::call::CallContext;
use crate::rpc::openrpc;
use crate::rpc::registry::Registry;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::sync::OnceLock;
use threadline_schema::auth::Nothing;
use threadline_schema::system::{Health, HealthParams, RpcDiscover, SystemHealth};

/// Handlers of `system.*` and `rpc.*`.
pub(super) struct SystemMethods {
    pub(super) core: Arc<Core>,
}

impl SystemMethods {
    pub(super) fn register(self, registry: &mut Registry) {
        registry.namespace(self).command(SystemHealth, Self::health).command(RpcDiscover, Self::discover);
    }

    async fn health(self: Arc<Self>, _: CallContext, params: HealthParams) -> Result<Health, Error> {
        Ok(health::check(&self.core, params).await)
    }

    async fn discover(self: Arc<Self>, _: CallContext, _: Nothing) -> Result<Map<String, Value>, Error> {
        // The same for everybody and for ever; anybody may ask for it.
        static DOCUMENT: OnceLock<Map<String, Value>> = OnceLock::new();
        Ok(DOCUMENT.get_or_init(openrpc::document).clone())
    }
}
