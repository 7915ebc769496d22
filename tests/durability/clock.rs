//! Processes whose clocks are wrong by more than a day: leases, names of submissions and logs are the database's to date.

use crate::model::{self, Wish, asked};
use crate::reader::Door;
use crate::shop::{begin, cancel, submit, unlimited, whole};
use crate::support::{App, Client, Setup, token};
use crate::trial::Trial;
use std::time::Duration;
use threadline_test_requirements::Requirement;

/// Long enough for every process to look at the leases of the others twice.
const LONG: Duration = Duration::from_secs(11);

async fn start_wrong(library: &str, app: &App, shift: &str) -> App {
    let setup = app.again().with("LD_PRELOAD", library).with("FAKETIME", shift).with("FAKETIME_DONT_FAKE_MONOTONIC", 1);
    setup.start().await
}

/// By how many hours a process is off, as its answers say.
async fn hours_off(user: &Client) -> i64 {
    let reply = user.get("/health").await;
    let there = chrono::DateTime::parse_from_rfc2822(reply.header("date")).expect("a date");
    let minutes = (there.to_utc() - chrono::Utc::now()).num_minutes();
    (minutes + 26 * 60 + 30).div_euclid(60) - 26
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_clock_takes_no_run_and_forgets_nothing() {
    const TEST: &str = "clock, three processes on PostgreSQL";
    let Some(library) = Requirement::FakeTime.find() else { return };
    let upstream = model::start().await;
    let Some(setup) = Setup::postgres().await else { return };
    let right = unlimited(setup, &upstream).start().await;
    let trial = Trial::begin(TEST);
    let user = right.user().await;
    let user = user.with_token(token::mint(user.user_id.unwrap(), 3 * 24 * 3600));
    let before = (user.session().await, Wish::talk(5, 0, "before"));
    let first = begin(&user, before.0, &before.1).await;
    let told = whole(Door::RunSse, &user, before.0, first).await;

    let (ahead, behind) = tokio::join!(start_wrong(&library, &right, "+26h"), start_wrong(&library, &right, "-26h"));
    let doors: Vec<Client> = [&right, &ahead, &behind].map(|app| user.at(app)).into();
    let clocks = [hours_off(&doors[0]).await, hours_off(&doors[1]).await, hours_off(&doors[2]).await];
    assert_eq!(clocks, [0, 26, -26], "the library does not lie as it should");

    // Each process answers, for longer than it takes the others to find it dead by their clocks.
    let mut runs = Vec::new();
    for (number, user) in doors.iter().enumerate() {
        let session = user.session().await;
        let words = usize::try_from(LONG.as_millis() / 50).unwrap();
        let wish = Wish::talk(words, 50, format!("clock{number}"));
        runs.push((session, begin(user, session, &wish).await, wish));
    }
    let reading = runs.iter().flat_map(|(session, run, _)| {
        doors.iter().map(move |user| async move { whole(Door::RunSse, user, *session, *run).await })
    });
    let read = futures::future::join_all(reading).await;
    for (at, reader) in read.iter().enumerate() {
        assert_eq!(reader.end().unwrap()["type"], "run.completed", "process {}", at / doors.len());
        assert_eq!(reader.heard(), runs[at / doors.len()].2.answer());
    }
    for user in &doors {
        // A cancel reaches a process that lives in another day.
        for owner in &doors {
            let session = user.session().await;
            let run = begin(owner, session, &Wish::talk(1_000, 20, format!("long{session}"))).await;
            let ended = cancel(user, run).await.expect("an answer");
            assert_eq!(ended.data()["status"], "cancelled");
        }
        // What was sent before is known by its name, and its log is kept.
        assert_eq!(submit(user, before.0, &before.1, &before.1.tag).await.unwrap().unwrap(), first);
        assert_eq!(whole(Door::RunSse, user, before.0, first).await.numbered(), told.numbered());
    }
    assert_eq!(asked(&upstream)[&before.1.tag], 1);
    trial.report(format!("clocks {clocks:?} hours off: 3 answers whole at each process, 9 cancels, nothing forgotten"));
}
