//! Who calls, and whether they may just now.

use crate::context::Call;
use crate::core::Core;
use crate::error::Error;
use jsonrpsee::core::middleware::Request;
use std::time::{Duration, Instant};
use threadline_schema::runs::{RunsSubscribe, RunsSubscribeParams};
use threadline_schema::{Access, MethodInfo, RpcMethod};
use uuid::Uuid;

/// How long a user who was found in the database is believed to exist.
const USER_KNOWN_FOR: Duration = Duration::from_secs(60);

/// Verifies the token, then counts the call: for the user it names, else for the address it came from. What is open to
/// anybody always counts for the address.
///
/// `info` is `None` for a method that does not exist; asking for it is counted too.
pub(super) async fn admit(
    core: &Core,
    call: &Call,
    request: &Request<'_>,
    info: Option<&MethodInfo>,
) -> Result<(), Error> {
    let access = info.map_or(Access::Public, |info| info.access);
    if access == Access::Probe {
        return Ok(());
    }
    let identity = match call.caller.token.as_deref().and_then(|token| core.tokens.verify(token)) {
        Some(identity) if is_known(core, identity.user_id).await? => Some(identity),
        _ => None,
    };
    if let Some(identity) = identity {
        call.identify(identity);
    }
    let counted = match identity {
        // Guessing passwords with somebody's token in hand is guessing all the same.
        _ if info.is_some() && access == Access::Public => core.limits.check_address(call.caller.ip).await,
        Some(identity) if is_first_look(core, identity.user_id, request) => Ok(None),
        Some(identity) => core.limits.check_user(identity.user_id).await,
        None => core.limits.check_address(call.caller.ip).await,
    };
    match counted {
        Ok(rate) => call.facts().rate = rate,
        Err((error, rate)) => {
            call.facts().rate = Some(rate);
            return Err(error.into());
        }
    }
    match (access, identity) {
        (Access::User, None) => Err(Error::unauthorized()),
        _ => Ok(()),
    }
}

/// Whether the user still exists. The database is asked once a minute and user.
async fn is_known(core: &Core, user_id: Uuid) -> Result<bool, Error> {
    if core.known_users.get(&user_id).is_some_and(|seen: Instant| seen.elapsed() < USER_KNOWN_FOR) {
        return Ok(true);
    }
    let known = core.store.user_by_id(user_id.into()).await?.is_some();
    if known {
        core.known_users.insert(user_id, Instant::now());
    }
    Ok(known)
}

/// Whether this is the first look at a run by the user who started it. Starting the run was counted, and one request
/// counts once, however many calls it becomes. The run itself keeps the one free look, so there is nothing to forge.
fn is_first_look(core: &Core, user_id: Uuid, request: &Request<'_>) -> bool {
    if request.method != RunsSubscribe::NAME {
        return false;
    }
    let Some(params) = request.params.as_ref() else { return false };
    let Ok(params) = serde_json::from_str::<RunsSubscribeParams>(params.get()) else { return false };
    core.hub.take_first_look(params.run_id, user_id)
}
