//! `/api/v1/usage`, and daily budgets.

use crate::agents::file::AgentsFile;
use crate::everywhere;
use crate::support::{Client, Gate, Script, Setup, Upstream, eventually};
use serde_json::{Value, json};

const PATH: &str = "/api/v1/usage";

async fn usage(user: &Client) -> Value {
    user.get(PATH).await.data().clone()
}

everywhere! {
    async fn what_was_used_is_told(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.queue(Script::says(&["Hello"])).queue(Script::says(&["Hello"]));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let nothing = json!({"runs": 0, "prompt_tokens": 0, "completion_tokens": 0, "cost_micros": 0, "unpriced_runs": 0});
        assert_eq!(usage(&user).await, json!({"days": [], "total": nothing}));

        let session = user.session().await;
        user.say(session, "Hello").await;
        user.say(session, "Hello").await;
        let told = usage(&user).await;
        let total = json!({"runs": 2, "prompt_tokens": 14, "completion_tokens": 6, "cost_micros": 0, "unpriced_runs": 2});
        assert_eq!(told["total"], total);
        let mut day = told["days"][0].clone();
        let date = day.as_object_mut().unwrap().remove("date").unwrap();
        assert_eq!(day, total);
        let date = date.as_str().unwrap();
        assert_eq!(user.get(&format!("{PATH}?since={date}&until={date}")).await.data(), &told);
        assert_eq!(user.get(&format!("{PATH}?since=2020-01-01&until=2020-01-31")).await.data()["days"], json!([]));
        // Deleting does not reduce the usage, and users do not see the usage of others.
        user.delete(&format!("/api/v1/chatkit/sessions/{session}")).await;
        assert_eq!(usage(&user).await["total"], total);
        assert_eq!(usage(&app.user().await).await["total"], nothing);

        for query in ["since=2026-13-01", "since=yesterday", "until=2026-02-30", "since=2026-02-02&until=2026-02-01",
                      "since=2020-01-01&until=2026-01-01", "since=-262143-01-01&until=-262143-01-01T", "until=+262142-12-31&since=1970-01-01", "days=3"] {
            user.get(&format!("{PATH}?{query}")).await.fails(400, "INVALID_REQUEST");
        }
    }

    async fn a_day_has_its_budget(setup: Setup) {
        let upstream = Upstream::start().await;
        let gate = Gate::closed();
        upstream.queue(Script::stream().words(&["Some", " words"]).stop(&gate).done("stop"));
        let setup = setup.upstream(&upstream).with("BUDGET_TOKENS_PER_DAY", 25).with("BUDGET_HOLD_TOKENS", 20);
        let app = setup.start().await;
        let user = app.user().await;
        let (session, other) = (user.session().await, user.session().await);
        let mut stream = user.start(session, "Hello").await.unwrap();
        stream.until_said("Some words").await;
        let budget = usage(&user).await["budget"].clone();
        assert_eq!(budget["tokens"], json!({"limit": 25, "used": 0, "held": 20, "left": 5}));
        assert!(budget.get("cost_micros").is_none());

        // A reservation cannot be used by another run. A refused message is not stored.
        let refused = user.say_in_vain(other, "And me?").await;
        let message = refused.fails(429, "BUDGET_EXCEEDED");
        assert!(message.contains(budget["resets_at"].as_str().unwrap()), "{message}");
        let seconds: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=86_401).contains(&seconds));
        assert_eq!(user.history(other).await["messages"], json!([]));
        let input = json!({"content": [{"type": "input_text", "text": "And me?"}], "attachments": [], "inference_options": {}});
        let refused = user.rpc("threads.create", json!({"input": input})).await;
        assert_eq!(refused["error"]["data"]["code"], "BUDGET_EXCEEDED");
        assert_eq!(refused["error"]["data"]["resets_at"], budget["resets_at"]);
        assert_eq!(user.get("/api/v1/chatkit/sessions").await.data().as_array().unwrap().len(), 2);

        // Ten were used. Fifteen are left, which is less than the next reservation.
        gate.open();
        stream.finish().await;
        assert_eq!(usage(&user).await["budget"]["tokens"], json!({"limit": 25, "used": 10, "held": 0, "left": 15}));
        user.say_in_vain(other, "And me?").await.fails(429, "BUDGET_EXCEEDED");
        assert!(app.metrics().await.contains("threadline_over_budget_total 3"));
        assert_eq!(upstream.requests().len(), 1);
        let somebody = app.user().await;
        upstream.queue(Script::says(&["Hello"]));
        assert!(somebody.say(somebody.session().await, "Hello").await.done, "a budget is one user's");
    }

    async fn a_cancelled_run_is_charged_for_its_text(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.queue(Script::stream().words(&["Eight by", "tes more"]).hang());
        upstream.queue(Script::stream().hang());
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let mut stream = user.start(session, "Hello").await.unwrap();
        stream.until_said("Eight bytes more").await;
        let run = stream.run_id();
        let cancelled = user.post(&format!("/api/v1/chatkit/runs/{run}/cancel"), &json!({})).await;
        // The server did not report the usage, so the run has none; the account has an estimate.
        assert!(cancelled.data().get("usage").is_none(), "{}", cancelled.text);
        let total = usage(&user).await["total"].clone();
        assert_eq!((&total["runs"], &total["completion_tokens"]), (&json!(1), &json!(4)));
        assert!(total["prompt_tokens"].as_u64().unwrap() > 1, "{total}");

        // Before the first token the prompt is counted.
        let thread = json!({"thread_id": session, "input": {"content": [{"type": "input_text", "text": "Hello"}]}});
        let run = user.rpc_ok("threads.add_user_message", thread).await["id"].clone();
        eventually("the model is asked", || async { (upstream.requests().len() == 2).then_some(()) }).await;
        user.rpc_ok("runs.cancel", json!({"run_id": run})).await;
        let after = usage(&user).await["total"].clone();
        assert_eq!((&after["runs"], &after["completion_tokens"]), (&json!(2), &total["completion_tokens"]));
        assert!(after["prompt_tokens"].as_u64() > total["prompt_tokens"].as_u64(), "{after}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reservation_is_released_with_the_end_of_the_run_after_a_crash() {
    let upstream = Upstream::start().await;
    upstream.queue(Script::stream().words(&["Gone"]).hang()).queue(Script::says(&["Back"]));
    let setup = Setup::new()
        .await
        .upstream(&upstream)
        .with("BUDGET_TOKENS_PER_DAY", 100_000)
        .with("BUDGET_HOLD_TOKENS", 80_000);
    let app = setup.start().await;
    let user = app.user().await;
    let session = user.session().await;
    let mut stream = user.start(session, "Hello").await.unwrap();
    let said = stream.until_said("Gone").await;
    let run = stream.run_id();
    app.database.logged(run, said).await;
    user.say_in_vain(user.session().await, "Hello").await.fails(429, "BUDGET_EXCEEDED");
    let app = app.crash_and_restart().await;
    let user = Client::new(&app.rest, &app.rpc, user.token);
    let continued = user.follow(run, None).await.unwrap().finish().await;
    assert_eq!(continued.terminal()["type"], "run.completed");
    let tokens = usage(&user).await["budget"]["tokens"].clone();
    assert_eq!(tokens["held"], 0);
    // What the first process had used is an estimate, beside what was reported.
    assert!(tokens["used"].as_u64().unwrap() > 10, "{tokens}");
    assert!(user.say(session, "Hello").await.done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_in_money_needs_a_price() {
    let upstream = Upstream::start().await;
    let app = Setup::new().await.upstream(&upstream).with("BUDGET_COST_PER_DAY", "0.50").start().await;
    let user = app.user().await;
    let session = user.session().await;
    let message = user.say_in_vain(session, "Hello").await.fails(503, "SERVICE_UNAVAILABLE").to_owned();
    assert!(message.contains("price"), "{message}");
    assert!(upstream.requests().is_empty());
    assert_eq!(user.history(session).await["messages"], json!([]));
    let money = usage(&user).await["budget"]["cost_micros"].clone();
    assert_eq!(money, json!({"limit": 500_000, "used": 0, "held": 0, "left": 500_000}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cost_is_counted_at_the_price_of_the_model_that_answers() {
    let upstream = Upstream::start().await;
    let file = AgentsFile::new(
        r#"
        [agents.only]
        model = "cheap"
        models = ["dear", "free-of-price"]
        [models.cheap]
        input_per_million = 0.5
        output_per_million = 2
        [models.dear]
        input_per_million = 100
        output_per_million = 900
        "#,
    );
    // A run reserves 1,000 tokens: 2,000 millionths for the cheap model, 900,000 for the expensive one.
    let setup = file.of(Setup::new().await.upstream(&upstream)).with("BUDGET_COST_PER_DAY", "0.9");
    let app = setup.with("BUDGET_HOLD_TOKENS", 1000).start().await;
    let user = app.user().await;
    let session = user.session().await;
    let ask = async |model: Option<&str>| {
        let mut input = json!({"content": [{"type": "input_text", "text": "Hello"}]});
        input["inference_options"] = json!({"model": model});
        user.rpc("threads.add_user_message", json!({"thread_id": session, "input": input})).await
    };
    let ended =
        async |run: Value| user.follow(run.as_str().unwrap().parse().unwrap(), None).await.unwrap().finish().await;

    // 7 input and 3 output tokens.
    upstream.queue(Script::says(&["Hello"]));
    let run = ask(None).await["result"]["id"].clone();
    assert_eq!(ended(run.clone()).await.terminal()["run"]["cost_micros"], 10);
    assert_eq!(user.run(run.as_str().unwrap().parse().unwrap()).await["cost_micros"], 10);
    let money = usage(&user).await["budget"]["cost_micros"].clone();
    assert_eq!(money, json!({"limit": 900_000, "used": 10, "held": 0, "left": 899_990}));
    // The expensive model would reserve the whole budget, and ten millionths are used.
    assert_eq!(ask(Some("dear")).await["error"]["data"]["code"], "BUDGET_EXCEEDED");
    assert_eq!(ask(Some("free-of-price")).await["error"]["data"]["code"], "SERVICE_UNAVAILABLE");
    upstream.queue(Script::says(&["Hello"]));
    ended(ask(Some("cheap")).await["result"]["id"].clone()).await;
    let total = usage(&user).await["total"].clone();
    assert_eq!((&total["cost_micros"], &total["unpriced_runs"], &total["runs"]), (&json!(20), &json!(0), &json!(2)));
    assert!(app.metrics().await.contains("threadline_model_cost_micros_total 20"));
}
