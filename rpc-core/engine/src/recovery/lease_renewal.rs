//! Renews the leases of this process.

use crate::shared::Shared;
use std::time::Duration;
use threadline_schema::error::Chain;
use threadline_store::StoreResult;

/// Pause before a failed renewal is repeated.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Tries before the next regular renewal.
const TRIES: u32 = 4;

/// Renews the leases of all runs of this process, and of what it holds of budgets. Tries again soon if the database
/// does not answer.
pub(crate) async fn renew_leases(shared: &Shared) {
    for _ in 0..TRIES {
        match renew_once(shared).await {
            Ok(()) => return,
            Err(error) => {
                metrics::counter!("threadline_lease_renewal_failures_total").increment(1);
                tracing::warn!(error = %Chain(&error), "leases could not be renewed");
            }
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

async fn renew_once(shared: &Shared) -> StoreResult<()> {
    shared.clock.synchronize(&shared.store).await?;
    shared.store.leases_renew(shared.process_id, shared.lease_until()).await?;
    shared.store.budget_holds_renew(shared.process_id, shared.lease_until()).await?;
    shared.leases.record_renewal();
    Ok(())
}
