//! The measurements.

use crate::reader::{Reader, Transport};
use crate::service::unlimited;
use crate::support::upstream::clock;
use crate::support::{App, Client, ENDS_WITH_ITS_PROCESS, Script, Setup, Upstream};
use futures::future::join_all;
use futures::{StreamExt, stream};
use serde_json::json;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The message contains the number of words and their distance in microseconds.
async fn model() -> Upstream {
    let upstream = Upstream::start().await;
    upstream.answer_with(|request| {
        let messages = request["messages"].as_array().expect("messages");
        let asked = messages.last().and_then(|message| message["content"].as_str()).expect("a message");
        let (count, apart) = asked.split_once(' ').expect("two numbers");
        let apart = Duration::from_micros(apart.parse().expect("a number"));
        Script::stream().stamps(count.parse().expect("a number"), apart).done("stop")
    });
    upstream
}

/// Time between the words of a run that is only active and not measured.
const PACE: Duration = Duration::from_millis(100);

/// Returns the number of concurrent runs: 1,000, or `DURABILITY_RUNS`.
fn many() -> usize {
    std::env::var("DURABILITY_RUNS").map_or(1_000, |runs| runs.parse().expect("DURABILITY_RUNS is a number"))
}

/// Starts the service with default settings; `None` when the database server is missing.
async fn setup(database: &str, upstream: &Upstream) -> Option<Setup> {
    let setup = match database {
        "sqlite" => Setup::new().await.with("SQLITE_SYNCHRONOUS", "full"),
        _ => Setup::postgres().await?,
    };
    // Starting a thousand runs while a thousand are active takes time, which is not measured.
    let setup = setup
        .with("DATABASE_POOL_TIMEOUT_SECONDS", 60)
        .with("DATABASE_POOL_SIZE", 20)
        .with("MAX_CONNECTIONS", 10_000)
        .with("LOG_LEVEL", "warn,threadline::started=info");
    Some(unlimited(setup, upstream))
}

/// Starts runs, each in its own thread. Returns threads and runs.
async fn begin(user: &Client, count: usize, words: usize, apart: Duration) -> Vec<(Uuid, Uuid)> {
    let text = format!("{words} {}", apart.as_micros());
    let input = json!({"content": [{"type": "input_text", "text": text}]});
    let begun = stream::iter(0..count).map(|_| async {
        let begun = user.rpc_ok("threads.create", json!({"input": input})).await;
        let id = |name: &str| begun[name]["id"].as_str().expect("an id").parse().expect("an id");
        (id("thread"), id("run"))
    });
    begun.buffer_unordered(32).collect().await
}

/// Reads runs to their ends. Returns the delay of each word in microseconds.
async fn read(user: &Client, runs: &[(Uuid, Uuid)]) -> Vec<u64> {
    let reading = runs.iter().map(|(thread, run)| {
        let (user, thread, run) = (user.clone(), *thread, *run);
        tokio::spawn(async move {
            let mut stream = Transport::RunSse.open(&user, thread, run, 0).await.expect("the service is there");
            let mut late = Vec::new();
            while let Some(seen) = stream.next(run).await {
                if let Some(sent) = seen.event["delta"].as_str() {
                    late.push(clock() - sent.trim().parse::<u64>().expect("a time"));
                }
            }
            late
        })
    });
    let late = join_all(reading.collect::<Vec<_>>()).await;
    late.into_iter().flat_map(|late| late.expect("a reader that ends")).collect()
}

/// Returns a quantile.
fn percentile(values: &mut [u64], part: f64) -> f64 {
    values.sort_unstable();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place")]
    let at = ((values.len() - 1) as f64 * part) as usize;
    #[allow(clippy::cast_precision_loss, reason = "milliseconds")]
    let ms = values[at] as f64 / 1e3;
    ms
}

fn spread(mut values: Vec<u64>) -> String {
    let (middle, tail) = (percentile(&mut values, 0.5), percentile(&mut values, 0.99));
    format!("p50 {middle:.2} ms, p99 {tail:.2} ms")
}

/// Measures words per second and their delay, with the journal every 40 ms and without it.
pub async fn cost(database: &str) {
    const RUNS: usize = 20;
    const WORDS: usize = 2_000;
    let mut fastest = [Vec::new(), Vec::new()];
    let mut late = [Vec::new(), Vec::new()];
    for _ in 0..3 {
        for (which, interval) in [0, 40].into_iter().enumerate() {
            let upstream = model().await;
            let Some(setup) = setup(database, &upstream).await else { return };
            let app = setup.with("RUN_EVENTS_INTERVAL_MS", interval).start().await;
            let user = app.user().await;
            let began = Instant::now();
            let runs = begin(&user, RUNS, WORDS, Duration::ZERO).await;
            let words = read(&user, &runs).await.len();
            assert_eq!(words, RUNS * WORDS);
            fastest[which].push((RUNS * WORDS) as f64 / began.elapsed().as_secs_f64());
            let runs = begin(&user, 50, 200, Duration::from_millis(20)).await;
            late[which].extend(read(&user, &runs).await);
        }
    }
    let rates = fastest.map(|mut rates| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    });
    println!(
        "{database}: {:.0} words/s without a log, {:.0} with one every 40 ms: {:.2} of it",
        rates[0],
        rates[1],
        rates[1] / rates[0]
    );
    let [without, with] = late;
    println!(
        "{database}: a word of 50 runs at 50 words/s comes after {} without a log, {} with one",
        spread(without),
        spread(with)
    );
}

/// Returns the sum or the count of a histogram.
async fn metric(app: &App, name: &str) -> f64 {
    let metrics = app.metrics().await;
    let line = metrics.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |value| value.parse().expect("a number"))
}

/// Measures the journal's transactions, by the number of active runs.
pub async fn log(database: &str) {
    for runs in [1, 100, many()] {
        let upstream = model().await;
        let Some(setup) = setup(database, &upstream).await else { return };
        let app = setup.start().await;
        let user = app.user().await;
        begin(&user, runs, 10_000, PACE).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let of = ["threadline_log_write_seconds_count", "threadline_log_write_seconds_sum"];
        let (count, sum, began) = (metric(&app, of[0]).await, metric(&app, of[1]).await, Instant::now());
        tokio::time::sleep(Duration::from_secs(5)).await;
        let (count, sum) = (metric(&app, of[0]).await - count, metric(&app, of[1]).await - sum);
        println!(
            "{database}: {runs} active runs at 10 words/s each: {:.1} log transactions/s, {:.1} ms each",
            count / began.elapsed().as_secs_f64(),
            sum / count * 1e3
        );
    }
}

/// Measures the time from a request with a cursor to the first event.
pub async fn resume(database: &str) {
    const TIMES: u64 = 500;
    let upstream = model().await;
    let Some(setup) = setup(database, &upstream).await else { return };
    let mut app = setup.start().await;
    let user = app.user().await;
    let runs = begin(&user, 20, 1_000, Duration::ZERO).await;
    read(&user, &runs).await;
    let ask = async |user: Client| {
        let mut took = Vec::new();
        for time in 0..TIMES {
            let (thread, run) = runs[usize::try_from(time).expect("few") % runs.len()];
            let began = clock();
            let mut stream =
                Transport::RunSse.open(&user, thread, run, 1 + time * 2).await.expect("the service is there");
            stream.next(run).await.expect("an event");
            took.push(clock() - began);
        }
        spread(took)
    };
    let from_memory = ask(user.clone()).await;
    if database == "sqlite" {
        app = app.crash_and_restart().await;
    } else {
        app = app.again().start().await;
    }
    let from_log = ask(user.at(&app)).await;
    println!(
        "{database}: the first event after a cursor comes after {from_memory} from memory, {from_log} from the log"
    );
}

/// Measures the time to close a thousand runs of a killed process.
pub async fn recovery(database: &str) {
    let many = many();
    let upstream = model().await;
    let Some(setup) = setup(database, &upstream).await else { return };
    let mut app = setup.agents(ENDS_WITH_ITS_PROCESS).start().await;
    let user = app.user().await;
    let began = Instant::now();
    let other = if database == "sqlite" { None } else { Some(app.again().start().await) };
    let plain_start = began.elapsed();
    let runs = begin(&user, many, 10_000, PACE).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    app.core().kill();
    let killed = Instant::now();
    let Some(other) = other else {
        let app = app.again().start().await;
        let started = killed.elapsed();
        let mut reader = Reader::new(runs[many - 1].0, runs[many - 1].1);
        assert!(reader.follow(Transport::RunSse, &user.at(&app)).await);
        println!(
            "{database}: after kill -9 with {many} active runs a new process listens, all of them closed, after {:.2} s",
            started.as_secs_f64()
        );
        return;
    };
    let closed = || other.log().iter().filter(|line| line["message"] == "closed a run of a dead process").count();
    let mut first = None;
    while closed() < many {
        if first.is_none() && closed() > 0 {
            first = Some(killed.elapsed());
        }
        assert!(killed.elapsed() < Duration::from_secs(120), "{} of {many} closed", closed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (first, last) = (first.unwrap_or_else(|| killed.elapsed()), killed.elapsed());
    println!(
        "{database}: after kill -9 with {many} active runs another process closes the first after {:.1} s, which is the lease, \
         and the last {:.2} s later (a start takes {:.2} s)",
        first.as_secs_f64(),
        (last - first).as_secs_f64(),
        plain_start.as_secs_f64()
    );
}
