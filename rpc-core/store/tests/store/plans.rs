//! The cost of a list does not grow with rows that are not on it: checks the query plans of the statements of the
//! store.

use crate::support::*;
use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};
use diesel::prelude::*;
use std::collections::BTreeSet;
use std::sync::Mutex;
use threadline_schema::page::Order;
use threadline_store::{ItemPage, ThreadCursor, ThreadPage};

/// The statements of all tests of this process. A test finds its own by the tables in them.
static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

struct Recorder;

impl Instrumentation for Recorder {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            // SQLite quotes names with backticks; both read double quotes.
            let shown = query.to_string().replace('`', "\"");
            let sql = shown.split(" -- binds").next().unwrap_or_default();
            SEEN.lock().unwrap().insert(sql.to_owned());
        }
    }
}

/// Returns the plan of a statement for any values of its parameters.
async fn plan(db: &TestDb, sql: &str) -> String {
    if db.is_postgres() {
        let client = raw_postgres(db.url()).await;
        let parameters = (1..).take_while(|n| sql.contains(&format!("${n}"))).count();
        let nulls = vec!["NULL"; parameters].join(", ");
        client.batch_execute(&format!("SET plan_cache_mode = force_generic_plan; PREPARE p AS {sql}")).await.unwrap();
        let rows = client.query(&format!("EXPLAIN EXECUTE p({nulls})"), &[]).await.unwrap();
        rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
    } else {
        #[derive(QueryableByName)]
        struct Step {
            #[diesel(sql_type = diesel::sql_types::Text)]
            detail: String,
        }
        let steps: Vec<Step> =
            diesel::sql_query(format!("EXPLAIN QUERY PLAN {sql}")).load(&mut db.raw_sqlite()).unwrap();
        steps.into_iter().map(|step| step.detail).collect::<Vec<_>>().join("\n")
    }
}

/// Returns the recorded statements that start with the first of these words, contain all of them, and contain none of
/// the others.
fn seen(with: &[&str], without: &[&str]) -> Vec<String> {
    let seen = SEEN.lock().unwrap();
    let fits = |sql: &&String| {
        sql.starts_with(with[0])
            && with.iter().all(|word| sql.contains(word))
            && !without.iter().any(|w| sql.contains(w))
    };
    seen.iter().filter(fits).cloned().collect()
}

on_both! {
    async fn lists_are_index_ranges(db: &TestDb) {
        set_default_instrumentation(|| Some(Box::new(Recorder))).unwrap();
        let store = db.store().await;
        let mine = user(&store).await.id;
        let mut last = None;
        for _ in 0..12 {
            let (thread, run) = running(&store, mine).await;
            store.run_finish(run.fencing_token(), completed(), vec![item(ItemKind::AssistantMessage)]).await.unwrap();
            last = Some(thread);
        }
        let last = last.unwrap();
        fill(db).await;

        for order in [Order::Asc, Order::Desc] {
            let cursor = ThreadCursor::Key(last.updated_at, last.id);
            for after in [None, Some(cursor)] {
                store.threads_page(mine, ThreadPage { limit: 5, order, after }).await.unwrap();
            }
            let newest = store.history(last.id, 1).await.unwrap()[0].id;
            for after in [None, Some(newest)] {
                let page = ItemPage { limit: 5, order, after, hidden: false };
                store.items_page(mine, last.id, page).await.unwrap();
            }
        }
        store.message_before(last.id, 9).await.unwrap();
        store.threads_archive_idle(at(0), 5).await.unwrap();
        store.runs_take_expired(new_id(), at(0), at(1), 5).await.unwrap();
        store.active_run(last.id).await.unwrap();
        store.thread_last_run(mine, last.id).await.unwrap();
        store.thread_next_run(last.id, -1).await.unwrap();
        store.leases_renew(new_id(), at(0)).await.unwrap();
        store.logs_trim(at(0), 5).await.unwrap();
        store.idempotency_keys_trim(at(0), 5).await.unwrap();
        store.runs_to_cancel(new_id()).await.unwrap();
        for after in [None, Some((7, 5, mine))] {
            store.usage_top_users(651, after, 5).await.unwrap();
        }

        // PostgreSQL numbers its parameters, SQLite does not.
        let (mark, other) = if db.is_postgres() { ("$1", "?") } else { ("?", "$1") };
        let expected = [
            (4, "threads_by_use", vec!["SELECT \"threads\"", "ORDER BY \"threads\".\"updated_at\"", "\"users\""]),
            (6, "items_in_order", vec!["SELECT \"items\"", "ORDER BY \"items\".\"position\"", "\"thread_id\" ="]),
            (1, "threads_idle", vec!["SELECT \"threads\".\"id\" FROM", "NOT (EXISTS"]),
            (1, "runs_by_lease", vec!["SELECT \"runs\"", "\"lease_expires_at\" <"]),
            (1, "runs_to_trim", vec!["SELECT \"runs\"", "\"finished_at\" <"]),
            (1, "runs_to_cancel", vec!["SELECT \"runs\"", "\"cancel_requested_at\" IS NOT NULL"]),
            (1, "submissions_by_age", vec!["SELECT \"submissions\"", "\"created_at\" <"]),
            (1, "runs_active", vec!["SELECT \"runs\"", "\"runs\".\"thread_id\" =", "\"finished_at\" IS NULL"]),
            (2, "usage_months_top", vec!["SELECT \"usage_months\"", "ORDER BY"]),
            (2, "runs_of_thread", vec!["SELECT \"runs\"", "\"runs\".\"thread_id\" =", "ORDER BY \"runs\".\"position\""]),
        ];
        for (at_least, index, mut words) in expected {
            words.push(mark);
            let statements = seen(&words, &[other]);
            assert!(statements.len() >= at_least, "only {} statements for {index}: {statements:#?}", statements.len());
            for sql in statements {
                let plan = plan(db, &sql).await;
                assert!(plan.contains(index), "{sql}\ndoes not use {index}:\n{plan}");
                for bad in ["Seq Scan on", "SCAN ", "Sort", "TEMP B-TREE"] {
                    let sweep = index == "threads_idle";
                    assert!(sweep || !plan.contains(bad), "{sql}\nhas {bad}:\n{plan}");
                }
            }
        }

        // The scan starts at the cursor of the page. It does not filter all rows before the cursor.
        for sql in seen(&["SELECT \"threads\"", "\"updated_at\" <=", "\"users\"", mark], &[other]) {
            let plan = plan(db, &sql).await;
            let bound = if db.is_postgres() { "(updated_at <=" } else { "updated_at<?" };
            let starts_there = |line: &str| line.contains("Index Cond") || line.contains("USING INDEX");
            assert!(plan.lines().any(|line| starts_there(line) && line.contains(bound)), "{plan}");
        }
    }
}

/// Adds enough rows of other users to make a plan that reads all rows the more expensive one.
async fn fill(db: &TestDb) {
    // The service never runs ANALYZE on an SQLite file, so its plans must be right without it.
    let (uuid, time, no, yes, text, analyze) = if db.is_postgres() {
        (
            "gen_random_uuid()",
            "timestamptz '2020-01-01' + n * interval '1 second'",
            "false",
            "true",
            "id::text",
            "ANALYZE",
        )
    } else {
        ("randomblob(16)", "1577836800000000 + n * 1000000", "0", "1", "hex(id)", "")
    };
    let numbers = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 5000)";
    db.sql(&format!(
        "INSERT INTO users (id, email, password_hash, session_count, created_at, attachment_bytes) {numbers}
             SELECT {uuid}, 'u' || n, 'x', 100, {time}, 0 FROM numbers WHERE n <= 2000;
         INSERT INTO threads (id, user_id, title, title_is_set, status, status_reason, archived, metadata,
                 message_count, next_position, created_at, updated_at) {numbers}
             SELECT {uuid}, (SELECT id FROM users WHERE email = 'u' || (1 + n % 2000)), 't', {no}, 'active', NULL, {no},
                 '{{}}', 0, 0, {time}, {time} FROM numbers;
         INSERT INTO items SELECT {uuid}, t.id, NULL, p.n, 'user_message', {no}, '{{}}', t.created_at
             FROM threads t CROSS JOIN (SELECT 10 AS n UNION SELECT 11 UNION SELECT 12) p;
         INSERT INTO runs (id, thread_id, user_id, position, status, owner, epoch, lease_expires_at, last_seq,
                 error_code, error_message, prompt_tokens, completion_tokens, message_id, log_kept,
                 cancel_requested_at, created_at, finished_at)
             SELECT {uuid}, id, user_id, 0, 'completed', id, 1, created_at, 0, NULL, NULL, 0, 0, NULL, {no}, NULL,
                 created_at, created_at
             FROM threads;
         INSERT INTO runs (id, thread_id, user_id, position, status, owner, epoch, lease_expires_at, last_seq,
                 error_code, error_message, prompt_tokens, completion_tokens, message_id, log_kept,
                 cancel_requested_at, created_at, finished_at)
             SELECT {uuid}, id, user_id, 0, 'running', id, 1, created_at, 0, NULL, NULL, 0, 0, NULL, {yes}, NULL,
                 created_at, NULL
             FROM threads WHERE title = 't' LIMIT 1000;
         INSERT INTO usage_months SELECT 650 + p.n, id, 1, 0, 5, 7
             FROM users CROSS JOIN (SELECT 1 AS n UNION SELECT 2 UNION SELECT 3) p;
         INSERT INTO submissions SELECT user_id, {text}, 'f', id, NULL, created_at FROM threads WHERE title = 't';
         {analyze}"
    ))
    .await;
}
