//! `kill -9` at random moments.

mod check;
mod user;

use crate::model;
use crate::service::{pair, unlimited};
use crate::support::{App, Client, Setup, Upstream};
use crate::trial::Trial;
use check::check;
use futures::future::join_all;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use user::SimulatedUser;

const USERS: usize = 5;

/// When a process was killed, and when all that it had sent was read.
pub struct Kill {
    at: Instant,
    settled: Instant,
}

async fn kill_processes(test: &'static str, few: usize, upstream: &Upstream, mut apps: Vec<App>) {
    let mut trial = Trial::begin(test);
    let mut users = Vec::new();
    for name in 0..USERS {
        users.push(SimulatedUser::new(name, apps[0].user().await, trial.fork()));
    }
    let mut kills = Vec::new();
    for _ in 0..trial.rounds(few) {
        let (stop, stopped) = watch::channel(false);
        let running = users.into_iter().map(|user| {
            let clients: Vec<Client> = apps.iter().map(|app| user.user.at(app)).collect();
            tokio::spawn(user.run(clients, stopped.clone()))
        });
        let running: Vec<_> = running.collect();
        tokio::time::sleep(Duration::from_millis(100) + trial.some(Duration::from_millis(900))).await;
        let victim = trial.rng.usize(..apps.len());
        let at = Instant::now();
        apps[victim].core().kill();
        if apps.len() > 1 {
            // The others continue without it.
            tokio::time::sleep(trial.some(Duration::from_millis(300))).await;
        }
        stop.send_replace(true);
        users = join_all(running).await.into_iter().map(Result::unwrap).collect();
        kills.push(Kill { at, settled: Instant::now() });
        apps[victim] = apps[victim].again().start().await;
    }
    let found = check(&mut trial, upstream, &apps, users, &kills).await;
    trial.report(format!("{} kills: {found}", kills.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_loses_nothing_acknowledged_on_sqlite() {
    let upstream = model::start().await;
    let app = unlimited(Setup::new().await, &upstream).start().await;
    kill_processes("kills, one process on SQLite", 10, &upstream, vec![app]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_loses_nothing_acknowledged_on_postgres() {
    const TEST: &str = "kills, two processes on PostgreSQL";
    let upstream = model::start().await;
    let Some(apps) = pair(&upstream, &[]).await else { return };
    kill_processes(TEST, 10, &upstream, apps.into()).await;
}
