//! `system.*` and `rpc.discover`

use crate::error::Error;
use crate::health;
use crate::rpc::context::Cx;
use crate::rpc::openrpc;
use crate::rpc::registry::Registry;
use serde_json::{Map, Value};
use std::sync::OnceLock;
use threadline_schema::auth::Nothing;
use threadline_schema::system::{Health, HealthParams, RpcDiscover, SystemHealth};

pub(super) fn register(registry: &mut Registry) {
    registry.method::<SystemHealth, _, _>(health).method::<RpcDiscover, _, _>(discover);
}

async fn health(cx: Cx, params: HealthParams) -> Result<Health, Error> {
    Ok(health::check(&cx.core, params).await)
}

async fn discover(_: Cx, _: Nothing) -> Result<Map<String, Value>, Error> {
    // The same for everybody and for ever; anybody may ask for it.
    static DOCUMENT: OnceLock<Map<String, Value>> = OnceLock::new();
    Ok(DOCUMENT.get_or_init(openrpc::document).clone())
}
