//! The params of ending a subscription. By name like all others here; the library underneath reads them by position.

use crate::error::Error;
use jsonrpsee::core::middleware::Request;
use jsonrpsee::types::SubscriptionId;
use serde::Deserialize;
use serde_json::value::to_raw_value;
use std::borrow::Cow;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ByName<'a> {
    #[serde(borrow)]
    subscription: SubscriptionId<'a>,
}

/// Brings `{"subscription": id}` into the form `[id]`, which clients of the library send.
///
/// # Errors
/// INVALID_REQUEST for anything but these two.
pub(super) fn by_position(request: &mut Request<'_>) -> Result<(), Error> {
    let params = request.params.as_ref().map_or("", |params| params.get());
    if serde_json::from_str::<(SubscriptionId<'_>,)>(params).is_ok() {
        return Ok(());
    }
    let wrong = || Error::invalid("`subscription` must be the id that the subscription was answered with.");
    let by_name: ByName<'_> = serde_json::from_str(params).map_err(|_| wrong())?;
    request.params = Some(Cow::Owned(to_raw_value(&(by_name.subscription,))?));
    Ok(())
}
