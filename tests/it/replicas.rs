//! Several processes on one database.

use crate::support::paused_answer::{FIRST_WORDS, PausedAnswer, queue_paused_answer};
use crate::support::relay::Relay;
use crate::support::{App, Client, ENDS_WITH_ITS_PROCESS, Gate, Reply, Script, Setup, Upstream, eventually};
use serde_json::json;
use std::time::{Duration, Instant};
use threadline_schema::ids::ProcessId;

fn remaining(reply: &Reply) -> u32 {
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.header("x-ratelimit-remaining").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_limit_is_shared_by_all_replicas_while_redis_answers() {
    const PATH: &str = "/api/v1/auth/me";
    let (Some(setup), Some(redis)) = (Setup::postgres().await, Relay::start().await) else { return };
    // One request is allowed every 10 s.
    let one = setup.with("RATE_LIMIT_REQUESTS_PER_MINUTE", 6).with("REDIS_URL", redis.url()).start().await;
    let other = one.again().start().await;
    for app in [&one, &other] {
        eventually("Redis is reached", || async {
            let health = app.anonymous().get("/health/all").await;
            (health.body["components"]["redis"]["status"] == "healthy").then_some(())
        })
        .await;
    }
    let at_other = |user: &Client| Client::new(&other.rest, &other.rpc, user.token.clone());

    let user = one.user().await;
    assert_eq!(remaining(&user.get(PATH).await), 5);
    assert_eq!(remaining(&at_other(&user).get(PATH).await), 4);
    assert_eq!(remaining(&user.get(PATH).await), 3);
    for left in [2, 1, 0] {
        assert_eq!(remaining(&at_other(&user).get(PATH).await), left);
    }
    for client in [&user, &at_other(&user)] {
        let refused = client.get(PATH).await;
        refused.fails(429, "RATE_LIMITED");
        assert!((1..=10).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
        assert_eq!((refused.header("x-ratelimit-limit"), refused.header("x-ratelimit-remaining")), ("6", "0"));
    }

    // Redis is unreachable, or hangs. Each process limits by itself, at once and without errors.
    for (hang, user) in [(false, one.user().await), (true, one.user().await)] {
        if hang {
            redis.hold()
        } else {
            redis.cut()
        }
        let started = Instant::now();
        for left in [5, 4, 3, 2, 1, 0] {
            assert_eq!((remaining(&user.get(PATH).await), remaining(&at_other(&user).get(PATH).await)), (left, left));
        }
        user.get(PATH).await.fails(429, "RATE_LIMITED");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        let health = eventually("health is checked anew", || async {
            let health = one.anonymous().get("/health/all").await;
            (health.body["components"]["redis"]["status"] == "degraded").then_some(health)
        })
        .await;
        assert_eq!((health.status, &health.body["status"]), (200, &json!("degraded")));

        redis.mend();
        // After a call has noticed that it is back, the limit is shared again.
        let outages = if hang { 2 } else { 1 };
        for (app, client) in [(&one, &user), (&other, &at_other(&user))] {
            eventually("Redis is asked again", || async {
                client.get(PATH).await;
                let log = app.log();
                let back = log.iter().filter(|line| line.to_string().contains("replicas share rate limits")).count();
                (back >= outages).then_some(())
            })
            .await;
        }
        let user = one.user().await;
        assert_eq!(remaining(&user.get(PATH).await), 5);
        assert_eq!(remaining(&at_other(&user).get(PATH).await), 4);
    }
    for app in [&one, &other] {
        let errors: Vec<_> = app.log().into_iter().filter(|line| line["level"] == "ERROR").collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
}

async fn logged(app: &App, what: &str) {
    eventually(what, || async { app.log().iter().any(|line| line.to_string().contains(what)).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_taken_over_twice_and_its_first_owner_reports_the_end() {
    let Some(setup) = Setup::postgres().await else { return };
    let upstream = Upstream::start().await;
    let gate = queue_paused_answer(&upstream);
    upstream.queue(Script::stream().words(&["Hello again"]).done("stop"));
    let app = setup.upstream(&upstream).agents(ENDS_WITH_ITS_PROCESS).start().await;
    let (user, session, run) = PausedAnswer::start(&app).await.logged(&app).await;

    // Another process takes the run over, and dies before it has closed it. For the next process, closing fails too.
    app.database
        .batch(
            "CREATE FUNCTION refuse() RETURNS trigger AS 'BEGIN RAISE EXCEPTION ''no items today''; END' LANGUAGE plpgsql;
             CREATE TRIGGER refuse BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .await;
    let store = app.database.store().await;
    let (owner, now) = (store.runs_active(1).await.unwrap()[0].owner, store.now().await.unwrap());
    let until = (now.utc() + Duration::from_secs(2)).into();
    let taken = store.runs_take_from(vec![owner], ProcessId::random(), now, until, 1).await.unwrap();
    assert_eq!(taken.len(), 1);
    gate.open();
    logged(&app, "another process has taken the run over").await;
    logged(&app, "dead run could not be recovered").await;
    // Long enough that it counts as unread.
    tokio::time::sleep(Duration::from_secs(12)).await;
    app.database.batch("DROP TRIGGER refuse ON items").await;

    let late = user.follow(run, None).await.unwrap().finish().await;
    assert_eq!(late.terminal()["type"], "run.interrupted", "{:?}", late.types());
    assert_eq!(user.run(run).await["status"], "interrupted");
    assert_eq!(user.history(session).await["messages"][1]["content"][0]["text"], FIRST_WORDS);
    assert_eq!(user.say(session, "Are you there?").await.terminal()["type"], "run.completed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_replica_is_taken_for_dead_after_an_outage_of_the_database() {
    let Some(setup) = Setup::postgres().await else { return };
    let upstream = Upstream::start().await;
    let gate = Gate::closed();
    upstream.queue(Script::stream().words(&["Still"]).stop(&gate).words(&[" here"]).done("stop"));
    let setup = setup.upstream(&upstream).with("DATABASE_POOL_TIMEOUT_SECONDS", 1).with("AGENT_TIMEOUT_SECONDS", 60);
    let app = setup.start().await;
    let others = futures::future::join_all((0..3).map(|_| app.again().start())).await;
    let user = app.user().await;
    let session = user.session().await;
    let mut stream = user.start(session, "Hello").await.unwrap();
    stream.until("thread.item.content.part.delta").await;
    let run = stream.run_id();
    drop(stream);

    app.database.take_away().await;
    // Longer than a lease.
    tokio::time::sleep(Duration::from_secs(18)).await;
    app.database.give_back().await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    gate.open();
    let stream = user.follow(run, None).await.unwrap().finish().await;
    assert_eq!((stream.terminal()["type"].as_str(), stream.text().as_str()), (Some("run.completed"), "Still here"));
    drop(others);
}
