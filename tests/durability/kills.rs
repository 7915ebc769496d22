//! `kill -9` at random moments.

mod check;
mod customer;

use crate::model;
use crate::shop::{pair, unlimited};
use crate::support::{App, Client, Setup, Upstream};
use crate::trial::Trial;
use check::check;
use customer::Customer;
use futures::future::join_all;
use std::time::{Duration, Instant};
use tokio::sync::watch;

const CUSTOMERS: usize = 5;

/// When a process was killed, and when all that it had sent was read.
pub struct Kill {
    at: Instant,
    settled: Instant,
}

async fn massacre(test: &'static str, few: usize, upstream: &Upstream, mut apps: Vec<App>) {
    let mut trial = Trial::begin(test);
    let mut customers = Vec::new();
    for name in 0..CUSTOMERS {
        customers.push(Customer::new(name, apps[0].user().await, trial.fork()));
    }
    let mut kills = Vec::new();
    for _ in 0..trial.rounds(few) {
        let (stop, stopped) = watch::channel(false);
        let shopping = customers.into_iter().map(|customer| {
            let doors: Vec<Client> = apps.iter().map(|app| customer.user.at(app)).collect();
            tokio::spawn(customer.shop(doors, stopped.clone()))
        });
        let shopping: Vec<_> = shopping.collect();
        tokio::time::sleep(Duration::from_millis(100) + trial.some(Duration::from_millis(900))).await;
        let victim = trial.dice.usize(..apps.len());
        let at = Instant::now();
        apps[victim].core().kill();
        if apps.len() > 1 {
            // The others continue without it.
            tokio::time::sleep(trial.some(Duration::from_millis(300))).await;
        }
        stop.send_replace(true);
        customers = join_all(shopping).await.into_iter().map(Result::unwrap).collect();
        kills.push(Kill { at, settled: Instant::now() });
        apps[victim] = apps[victim].again().start().await;
    }
    let found = check(&mut trial, upstream, &apps, customers, &kills).await;
    trial.report(format!("{} kills: {found}", kills.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_loses_nothing_acknowledged_on_sqlite() {
    let upstream = model::start().await;
    let app = unlimited(Setup::new().await, &upstream).start().await;
    massacre("kills, one process on SQLite", 10, &upstream, vec![app]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_loses_nothing_acknowledged_on_postgres() {
    const TEST: &str = "kills, two processes on PostgreSQL";
    let upstream = model::start().await;
    let Some(apps) = pair(&upstream, &[]).await else { return };
    massacre(TEST, 10, &upstream, apps.into()).await;
}
