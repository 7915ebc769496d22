//! Who calls, and whether they may just now.

use crate::core::Core;
use crate::error::Error;
use crate::limits::Verdict;
use crate::rpc::context::Call;
use jsonrpsee::core::middleware::Request;
use serde::Deserialize;
use std::borrow::Cow;
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
    if access == Access::Signed
        && let Some(signed) = Signed::of(request)
    {
        return admit_signed(core, call, &signed).await;
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
        Some(identity) if is_free_subscribe(core, identity.user_id, request) => Ok(None),
        Some(identity) if access == Access::Signed && goes_on(request) => {
            core.limits.check_piece(identity.user_id).await
        }
        Some(identity) => core.limits.check_user(identity.user_id).await,
        None => core.limits.check_address(call.caller.ip).await,
    };
    note(call, counted)?;
    match (access, identity) {
        (Access::User | Access::Signed, None) => Err(Error::unauthorized()),
        _ => Ok(()),
    }
}

/// Checks what the service is said to have signed, then counts the call for the user it was signed for. Whoever comes
/// with something it has not signed is counted by address.
async fn admit_signed(core: &Core, call: &Call, signed: &Signed<'_>) -> Result<(), Error> {
    let grant = match core.attachments.verify_capability(signed.token.as_deref().unwrap_or_default()) {
        Ok(grant) => grant,
        Err(error) => {
            note(call, core.limits.check_address(call.caller.ip).await)?;
            return Err(error.into());
        }
    };
    call.entitle(grant);
    note(
        call,
        match signed.offset {
            0 => core.limits.check_user(grant.user_id.0).await,
            _ => core.limits.check_piece(grant.user_id.0).await,
        },
    )
}

/// Notes the state of the limit that the call was counted against.
fn note(call: &Call, counted: Verdict) -> Result<(), Error> {
    match counted {
        Ok(rate) => {
            call.facts().rate_limit = rate;
            Ok(())
        }
        Err((error, rate)) => {
            call.facts().rate_limit = Some(rate);
            Err(error.into())
        }
    }
}

/// What counts of the params of a call that may be signed.
#[derive(Deserialize)]
struct Signed<'a> {
    #[serde(borrow, default)]
    token: Option<Cow<'a, str>>,
    #[serde(default)]
    offset: u64,
}

impl<'a> Signed<'a> {
    /// `None` when nothing is said to be signed, or the params cannot be read: the method will say so.
    fn of(request: &'a Request<'_>) -> Option<Self> {
        let params = request.params.as_ref()?;
        serde_json::from_str::<Self>(params.get()).ok().filter(|signed| signed.token.is_some())
    }
}

/// Whether the call goes on with a file: its first piece was counted.
fn goes_on(request: &Request<'_>) -> bool {
    let params = request.params.as_ref();
    params
        .and_then(|params| serde_json::from_str::<Signed<'_>>(params.get()).ok())
        .is_some_and(|piece| piece.offset > 0)
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

/// Whether this is the one subscribe to a run that its start includes. The start was counted, and one request counts
/// once, however many calls it needs. The run itself records the use, so a client cannot forge it.
fn is_free_subscribe(core: &Core, user_id: Uuid, request: &Request<'_>) -> bool {
    if request.method != RunsSubscribe::NAME {
        return false;
    }
    let Some(params) = request.params.as_ref() else { return false };
    let Ok(params) = serde_json::from_str::<RunsSubscribeParams>(params.get()) else { return false };
    core.engine.take_free_subscribe(user_id.into(), params.run_id.into())
}
