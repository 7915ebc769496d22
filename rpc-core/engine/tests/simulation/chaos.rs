//! Kills, freezes and cuts off processes.

use super::process::Health;
use super::scenario::World;
use fastrand::Rng;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Disturbs the processes until `end`. At least one is never dead.
pub(crate) async fn disturb(world: Arc<World>, mut rng: Rng, end: Instant) {
    let (kills, freezes, outages) = (rng.u32(0..60), rng.u32(0..60), rng.u32(0..30));
    loop {
        sleep(Duration::from_millis(rng.u64(500..9_000))).await;
        if Instant::now() >= end {
            return;
        }
        match rng.u32(0..200) {
            draw if draw < kills => {
                let process = world.any_process(&mut rng);
                // The next one starts before or after; a database never has none for long.
                if rng.bool() {
                    sleep(Duration::from_millis(rng.u64(0..3_000))).await;
                }
                world.start_process(rng.fork()).await;
                process.set_health(Health::Dead);
                world.totals.lock().unwrap().kills += 1;
            }
            draw if draw < kills + freezes => {
                let process = world.any_process(&mut rng);
                process.set_health(Health::Frozen);
                world.totals.lock().unwrap().freezes += 1;
                let wake = Duration::from_millis(rng.u64(500..35_000));
                tokio::spawn(async move {
                    sleep(wake).await;
                    process.set_health(Health::Running);
                });
            }
            draw if draw < kills + freezes + outages => {
                world.cluster.is_database_away.send_replace(true);
                world.totals.lock().unwrap().outages += 1;
                sleep(Duration::from_millis(rng.u64(200..20_000))).await;
                world.cluster.is_database_away.send_replace(false);
            }
            _ => {}
        }
    }
}
