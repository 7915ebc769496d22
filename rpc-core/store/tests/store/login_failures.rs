//! Failed logins: counted together, and forgotten.

use crate::support::*;
use threadline_schema::db::types::UtcTime;

fn second(second: i64) -> UtcTime {
    at(second * 1_000_000)
}

on_both! {
    async fn failures_slow_down_the_next_attempt_and_a_success_forgets_them(db: &TestDb) {
        let store = db.store().await;
        let (ada, bob) = ("a".repeat(64), "b".repeat(64));
        for _ in 0..10 {
            assert_eq!(store.login_begin(ada.clone(), second(100)).await.unwrap(), None);
        }
        assert_eq!(store.login_begin(ada.clone(), second(159)).await.unwrap(), Some(second(160)), "the tenth costs a minute");
        assert_eq!(store.login_begin(bob.clone(), second(100)).await.unwrap(), None, "another account is not affected");
        assert_eq!(store.login_begin(ada.clone(), second(160)).await.unwrap(), None);
        assert_eq!(store.login_begin(ada.clone(), second(161)).await.unwrap(), Some(second(280)), "the next one two");
        store.login_succeeded(ada.clone()).await.unwrap();
        assert_eq!(store.login_begin(ada.clone(), second(162)).await.unwrap(), None);
        let next_day = 100 + 24 * 3600;
        assert_eq!(store.login_failures_forget(second(next_day)).await.unwrap(), 0);
        assert_eq!(store.login_failures_forget(second(next_day + 1)).await.unwrap(), 1, "only the row of Bob is old enough");
    }

    async fn attempts_at_the_same_time_all_count(db: &TestDb) {
        let store = db.store().await;
        let email = "c".repeat(64);
        let attempts = (0..30).map(|_| store.login_begin(email.clone(), second(5)));
        let outcomes = futures::future::join_all(attempts).await;
        let begun = outcomes.into_iter().filter(|outcome| outcome.as_ref().unwrap().is_none()).count();
        assert_eq!(begun, 10);
    }
}
