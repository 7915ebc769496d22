//! Budgets: nobody gets around them, and all users together have one.

use crate::agents::file::AgentsFile;
use crate::everywhere;
use crate::rest::registration::command;
use crate::support::client::read;
use crate::support::{App, Client, Script, Setup, Upstream, eventually};
use base64::Engine;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

async fn used(user: &Client) -> (u64, u64) {
    let total = user.get("/api/v1/usage").await.data()["total"].clone();
    (total["prompt_tokens"].as_u64().unwrap(), total["completion_tokens"].as_u64().unwrap())
}

/// What all users together have used and hold: tokens.
async fn shared(app: &App) -> (i64, i64) {
    // In one query: a run that ends between two would be in none of the numbers, or in both.
    const TOKENS: i64 = 1_000_000_000;
    let sum = format!("COALESCE(SUM(tokens * {TOKENS} + held_tokens), 0)");
    let sum = if app.database.is_postgres() { format!("CAST({sum} AS bigint)") } else { sum };
    let both = app.database.count(&format!("SELECT {sum} AS rows FROM budget_days WHERE scope = 'all'")).await;
    (both.div_euclid(TOKENS), both.rem_euclid(TOKENS))
}

everywhere! {
    async fn all_users_together_have_a_budget(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.queue(Script::says(&["Hello"])).queue(Script::says(&["Hello"]));
        let setup = setup.upstream(&upstream).with("GLOBAL_BUDGET_TOKENS_PER_DAY", 25).with("BUDGET_HOLD_TOKENS", 10);
        let app = setup.with("GLOBAL_BUDGET_WARN_PERCENT", 50).start().await;
        // Each answer uses ten tokens.
        for _ in 0..2 {
            let user = app.user().await;
            assert!(user.say(user.session().await, "Hello").await.done);
        }
        let user = app.user().await;
        let refused = user.say_in_vain(user.session().await, "Hello").await;
        let message = refused.fails(429, "BUDGET_EXCEEDED");
        assert!(message.contains("service"), "{message}");
        assert_eq!(shared(&app).await, (20, 0));
        let metrics = app.metrics().await;
        assert!(metrics.contains("threadline_over_shared_budget_total 1"), "{metrics}");
    }

    async fn a_class_has_a_budget_of_its_own_and_one_for_each_user(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.answer_with(|_| Script::says(&["Hello"]));
        let file = AgentsFile::new(
            "[agents.a]\n[budget_classes.free]\nbudget_tokens_per_day = 35\nuser_budget_tokens_per_day = 25\n\
             [budget_classes.gold]\nuser_budget_tokens_per_day = 1000\n",
        );
        let setup = file.of(setup).upstream(&upstream).with("BUDGET_TOKENS_PER_DAY", 15).with("BUDGET_HOLD_TOKENS", 10);
        let app = setup.start().await;
        // Without a class, the budget of the service counts: 15. Each answer uses ten tokens.
        let nobody = app.user().await;
        let session = nobody.session().await;
        assert!(nobody.say(session, "Hello").await.done);
        nobody.say_in_vain(session, "Hello").await.fails(429, "BUDGET_EXCEEDED");

        let (ada, bob) = (app.user().await, app.user().await);
        for user in [&ada, &bob] {
            let set = command(&app, &["user", "set-class", &user.email, "--class", "free"]).await;
            assert!(set.contains("budget class free"), "{set}");
        }
        let ada_session = ada.session().await;
        for _ in 0..2 {
            assert!(ada.say(ada_session, "Hello").await.done);
        }
        ada.say_in_vain(ada_session, "Hello").await.fails(429, "BUDGET_EXCEEDED");
        let budget = ada.get("/api/v1/usage").await.data()["budget"].clone();
        assert_eq!((&budget["class"], &budget["tokens"]["limit"], &budget["tokens"]["left"]), (&json!("free"), &json!(25), &json!(5)));
        // Bob has his own, but the class has only five tokens more than one answer. Over RPC it is the same.
        let bob_session = bob.session().await;
        assert!(bob.say(bob_session, "Hello").await.done);
        let input = json!({"content": [{"type": "input_text", "text": "Hello"}]});
        let refused = bob.rpc("threads.add_user_message", json!({"thread_id": bob_session, "input": input})).await;
        assert_eq!(refused["error"]["data"]["code"], "BUDGET_EXCEEDED", "{refused}");
        let used = "SELECT tokens AS rows FROM budget_days WHERE scope = 'class:free' AND held_tokens = 0";
        assert_eq!(app.database.count(used).await, 30);
        let gold = command(&app, &["user", "set-class", &bob.email, "--class", "gold"]).await;
        assert!(gold.contains("gold"), "{gold}");
        assert!(bob.say(bob_session, "Hello").await.done, "it counts from the next run on");

        // A service brings its class, also for users of another.
        let key = command(&app, &["key", "create", "shop", "--methods", "*", "--users", "*", "--budget-class", "gold"]).await;
        let service = app.anonymous().with_token(key.lines().next().unwrap());
        let user = json!({"user": ada.user_id});
        let answered = service.rpc("threads.add_user_message", json!({"thread_id": ada_session, "input": input, "_meta": user})).await;
        assert!(answered["result"]["id"].is_string(), "{answered}");
        let metrics = eventually("the gauge is recorded", || async {
            let metrics = app.metrics().await;
            metrics.contains("scope=\"class:free\"").then_some(metrics)
        })
        .await;
        assert!(metrics.contains("threadline_over_shared_budget_total 1"), "{metrics}");
    }

    async fn a_transcription_that_dies_with_its_process_is_booked(setup: Setup) {
        let upstream = Upstream::start().await;
        for _ in 0..6 {
            upstream.queue(Script::default().hang());
        }
        let setup = setup.upstream(&upstream).with("TRANSCRIPTION_MODEL", "test-whisper");
        let app = setup.with("GLOBAL_BUDGET_TOKENS_PER_DAY", 6).start().await;
        let speech = json!({"audio_base64": "AAAA", "mime_type": "audio/webm"});
        for _ in 0..6 {
            let (user, speech) = (app.user().await, speech.clone());
            // The reply never comes.
            drop(tokio::spawn(async move { user.post("/api/v1/chatkit/transcriptions", &speech).await }));
        }
        eventually("all are under way", || async { (shared(&app).await == (0, 6)).then_some(()) }).await;
        let refused = app.user().await.post("/api/v1/chatkit/transcriptions", &speech).await;
        refused.fails(429, "BUDGET_EXCEEDED");
        let app = app.crash_and_restart().await;
        eventually("they are charged, and nothing is held", || async { (shared(&app).await == (6, 0)).then_some(()) }).await;
    }

    async fn cancelling_before_the_first_word_is_not_free(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.queue(Script::stream().hang());
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let thread = json!({"thread_id": session, "input": {"content": [{"type": "input_text", "text": "Hello"}]}});
        let run = user.rpc_ok("threads.add_user_message", thread).await["id"].clone();
        eventually("the model is asked", || async { (upstream.requests().len() == 1).then_some(()) }).await;
        user.rpc_ok("runs.cancel", json!({"run_id": run})).await;
        let (prompt, written) = used(&user).await;
        assert!(prompt > 100 && written == 0, "the instructions and the message: {prompt} {written}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_replicas_do_not_get_around_the_global_budget() {
    let Some(setup) = Setup::postgres().await else { return };
    let upstream = Upstream::start().await;
    upstream.answer_with(|_| Script::stream().words(&["Hello"]).wait(Duration::from_millis(300)).done("stop"));
    // Room for five answers at a time, and for ten in all.
    let setup = setup.upstream(&upstream).with("GLOBAL_BUDGET_TOKENS_PER_DAY", 100).with("BUDGET_HOLD_TOKENS", 20);
    let one = setup.start().await;
    let other = one.again().start().await;
    let mut asked = Vec::new();
    for number in 0..40 {
        let user = one.user().await;
        let session = user.session().await;
        let user = if number % 2 == 0 { user } else { user.at(&other) };
        asked.push(tokio::spawn(async move {
            let reply = user.post(&Client::runs_path(session), &Client::message("Hello")).await;
            reply.status
        }));
    }
    let mut answered = 0;
    for asked in asked {
        let status = asked.await.unwrap();
        assert!([200, 429].contains(&status), "{status}");
        answered += i64::from(status == 200);
    }
    eventually("all have ended", || async { (shared(&one).await.1 == 0).then_some(()) }).await;
    let (tokens, _) = shared(&one).await;
    assert!((50..=100).contains(&tokens) && tokens == answered * 10, "{tokens} tokens for {answered} answers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_that_is_killed_does_not_open_the_global_budget() {
    const BUDGET: i64 = 300;
    const HOLD: i64 = 30;
    let Some(setup) = Setup::postgres().await else { return };
    let upstream = Upstream::start().await;
    // Ten tokens each, and long enough that many are under way when the replica dies.
    upstream.answer_with(|_| Script::stream().words(&["Hello"]).wait(Duration::from_millis(1_500)).done("stop"));
    let file = AgentsFile::new("[agents.a]\non_crash = \"interrupt\"\n");
    let setup = file.of(setup).upstream(&upstream).with("GLOBAL_BUDGET_TOKENS_PER_DAY", BUDGET);
    let one = setup.with("BUDGET_HOLD_TOKENS", HOLD).start().await;
    let mut other = one.again().start().await;
    // First all sessions, which takes longer than an answer.
    let users = futures::future::join_all((0..16).map(|_| async {
        let user = one.user().await;
        let session = user.session().await;
        (user, session)
    }));
    let asked: Vec<_> = users
        .await
        .into_iter()
        .enumerate()
        .map(|(number, (user, session))| {
            let user = if number % 2 == 0 { user } else { user.at(&other) };
            tokio::spawn(async move {
                let request = user.request(Method::POST, &Client::runs_path(session)).json(&Client::message("Hello"));
                // The replica may die before it answers.
                crate::support::client::try_read(request).await.map_or(0, |reply| reply.status)
            })
        })
        .collect();
    // All that can be held is held: more would be too much, whatever is true of the runs.
    let held = eventually("runs are under way", || async {
        let (tokens, held) = shared(&one).await;
        assert!(tokens + held <= BUDGET, "{tokens} + {held}");
        (held > BUDGET - HOLD).then_some(held)
    })
    .await;
    // Each has its first word, and that is in the log.
    tokio::time::sleep(Duration::from_millis(500)).await;
    other.core().kill();
    for asked in asked {
        let status = asked.await.unwrap();
        assert!([0, 200, 429].contains(&status), "{status}");
    }
    // Until the runs of the dead replica are closed, they hold what they held.
    let settled = eventually("the runs of the dead replica are closed", || async {
        let (tokens, held) = shared(&one).await;
        assert!(tokens + held <= BUDGET, "{tokens} + {held}");
        (held == 0).then_some(tokens)
    })
    .await;
    let dead = one.database.count("SELECT COUNT(*) AS rows FROM runs WHERE status = 'interrupted'").await;
    let whole = one.database.count("SELECT COUNT(*) AS rows FROM runs WHERE status = 'completed'").await;
    assert!(dead > 0 && dead + whole >= held / HOLD, "{dead} were interrupted, {whole} completed");
    assert!(settled > whole * 10, "what was written is charged: {settled} for {whole} and {dead}");
    let of_users = "SELECT CAST(SUM(prompt_tokens + completion_tokens) AS bigint) AS rows FROM usage_days";
    assert_eq!(one.database.count(of_users).await, settled, "the users were charged as all together were");
    // The rest can be used, and no more.
    let mut answered = 0;
    loop {
        let user = one.user().await;
        let request = user.request(Method::POST, &Client::runs_path(user.session().await));
        let reply = read(request.header("accept", "application/json").json(&Client::message("Hello"))).await;
        if reply.status == 429 {
            break;
        }
        assert_eq!(reply.status, 200, "{}", reply.text);
        answered += 1;
        if answered == 3 {
            // It is known how it goes on.
            break;
        }
    }
    let (tokens, held) = shared(&one).await;
    assert_eq!((tokens, held), (settled + answered * 10, 0));
    assert!(tokens <= BUDGET);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_process_was_killed_is_charged_and_holds_nothing() {
    let upstream = Upstream::start().await;
    upstream.queue(Script::stream().words(&["Forty bytes of an answer", " that never ends."]).hang());
    let file = AgentsFile::new("[agents.a]\non_crash = \"interrupt\"\n");
    let setup = file.of(Setup::new().await).upstream(&upstream).with("GLOBAL_BUDGET_TOKENS_PER_DAY", 10_000);
    let app = setup.start().await;
    let user = app.user().await;
    let session = user.session().await;
    let mut stream = user.start(session, &"word ".repeat(40)).await.unwrap();
    stream.until_said("Forty bytes of an answer that never ends.").await;
    let run = stream.run_id();
    app.database.logged(run, 6).await;
    assert_eq!(shared(&app).await, (0, 4000));
    let app = app.crash_and_restart().await;
    let user = user.at(&app);
    eventually("the run is closed", || async { (shared(&app).await.1 == 0).then_some(()) }).await;
    let (prompt, written) = used(&user).await;
    assert!(prompt >= 50 && written > 0, "{prompt} {written}");
    assert_eq!(shared(&app).await.0, i64::try_from(prompt + written).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_of_a_run_is_held_before_it_is_made() {
    let upstream = Upstream::start().await;
    // Seven tokens read and three written in each turn, and so for ever.
    upstream.answer_with(|_| Script::calls(&[("list_tasks", json!({}))]));
    let setup = Setup::new().await.upstream(&upstream).with("BUDGET_TOKENS_PER_DAY", 45).with("BUDGET_HOLD_TOKENS", 20);
    let app = setup.start().await;
    let user = app.user().await;
    let stream = user.say(user.session().await, "Hello").await;
    let failure = &stream.terminal()["run"]["error"];
    assert_eq!(failure["code"], "BUDGET_EXCEEDED", "{failure}");
    let (prompt, written) = used(&user).await;
    assert!(prompt + written <= 45, "{prompt} + {written}");
    assert_eq!(user.get("/api/v1/usage").await.data()["budget"]["tokens"]["held"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transcriptions_are_booked() {
    let upstream = Upstream::start().await;
    upstream.answer_with(|_| Script::json(&json!({"text": "Hello"})));
    let setup = Setup::new().await.upstream(&upstream).with("TRANSCRIPTION_MODEL", "whisper");
    let app = setup.with("BUDGET_TOKENS_PER_DAY", 30).with("BUDGET_HOLD_TOKENS", 5).start().await;
    let user = app.user().await;
    let audio = base64::engine::general_purpose::STANDARD.encode(vec![7; 4000]);
    let transcribe = async || {
        let params = json!({"audio_base64": audio, "mime_type": "audio/webm"});
        user.rpc("input.transcribe", params).await
    };
    for _ in 0..3 {
        assert_eq!(transcribe().await["result"]["text"], "Hello");
    }
    assert_eq!(used(&user).await, (30, 0));
    assert_eq!(transcribe().await["error"]["data"]["code"], "BUDGET_EXCEEDED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_can_have_a_budget_of_its_own() {
    let upstream = Upstream::start().await;
    upstream.answer_with(|_| Script::says(&["Hello"]));
    let file = AgentsFile::new("default = \"free\"\n[agents.free]\n[agents.dear]\nbudget_tokens_per_day = 15\n");
    let app = file.of(Setup::new().await).upstream(&upstream).with("BUDGET_HOLD_TOKENS", 10).start().await;
    let user = app.user().await;
    let session = async |agent: &str| -> uuid::Uuid {
        let request = user.request(Method::POST, "/api/v1/chatkit/sessions").json(&json!({"agent": agent}));
        let created: Value = read(request).await.data().clone();
        created["id"].as_str().unwrap().parse().unwrap()
    };
    let (dear, free) = (session("dear").await, session("free").await);
    assert!(user.say(dear, "Hello").await.done);
    user.say_in_vain(dear, "Hello").await.fails(429, "BUDGET_EXCEEDED");
    assert!(user.say(free, "Hello").await.done);
}
