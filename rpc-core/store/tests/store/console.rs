//! What operators read about all users, and roles.

use crate::support::*;
use threadline_schema::ids::UserId;
use threadline_store::{Charge, ForeignIdentity, ModelUse, Store, day_of, month_of};

async fn named(store: &Store, email: &str) -> UserId {
    store.user_create(new_id(), email.to_owned(), "$argon2id$x".into(), now()).await.unwrap().id
}

on_both! {
    async fn roles_are_given_taken_and_joined_with_those_of_the_provider(db: &TestDb) {
        let store = db.store().await;
        let ada = named(&store, "ada@example.com").await;
        for _ in 0..2 {
            store.user_role_give(ada, "admin".into(), at(7)).await.unwrap();
        }
        assert_eq!(store.user_roles(ada).await.unwrap(), ["admin"]);
        assert_eq!(db.number("SELECT COUNT(*) AS rows FROM user_roles WHERE role = 'admin'").await, 1);
        let identity = ForeignIdentity {
            issuer: "i".into(),
            subject: "s".into(),
            email: Some("eve@example.com".into()),
            roles: vec!["staff".into()],
            budget_class: None,
        };
        let eve = store.foreign_user(identity, new_id(), now()).await.unwrap();
        store.user_role_give(eve, "admin".into(), now()).await.unwrap();
        assert_eq!(store.user_roles(eve).await.unwrap(), ["admin", "staff"]);
        let listed = store.console_user(eve).await.unwrap().unwrap();
        assert_eq!((listed.email.as_deref(), listed.roles.len()), (Some("eve@example.com"), 2));
        assert!(!store.user_role_take(eve, "staff".into()).await.unwrap(), "the provider's");
        assert!(store.user_role_take(ada, "admin".into()).await.unwrap());
        assert!(store.user_roles(ada).await.unwrap().is_empty());
        assert!(store.user_role_give(new_id(), "admin".into(), now()).await.is_err(), "nobody");
    }

    async fn users_are_found_by_the_beginning_of_their_email(db: &TestDb) {
        let store = db.store().await;
        for email in ["a@example.com", "ab@example.com", "ab%@example.com", "abö@example.com", "a_b@example.com", "b@example.com"] {
            named(&store, email).await;
        }
        for (prefix, wanted) in [
            ("ab", vec!["ab%@example.com", "ab@example.com", "abö@example.com"]),
            ("a_", vec!["a_b@example.com"]),
            ("ab%", vec!["ab%@example.com"]),
            ("c", vec![]),
        ] {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let (page, has_more) = store.console_users_by_email(prefix.into(), after, 1).await.unwrap();
                assert!(page.len() <= 1);
                after = page.last().map(|listed| listed.user.id);
                found.extend(page.into_iter().map(|listed| listed.user.email));
                if !has_more {
                    break;
                }
            }
            assert_eq!(found, wanted, "{prefix}");
        }
        let (all, has_more) = store.console_users(None, 100).await.unwrap();
        assert_eq!((all.len(), has_more), (6, false));
        assert!(all.is_sorted_by(|one, next| one.user.id > next.user.id));
        let (rest, _) = store.console_users(Some(all[2].user.id), 2).await.unwrap();
        assert_eq!(rest, all[3..5]);
    }

    async fn usage_is_summed_by_agent_and_model_and_month(db: &TestDb) {
        let store = db.store().await;
        let (ada, bob, eve) = (user(&store).await.id, user(&store).await.id, user(&store).await.id);
        let part = |model: &str, prompt_tokens, cost_micros| ModelUse {
            agent: "helper".into(),
            model: model.into(),
            prompt_tokens,
            completion_tokens: 1,
            cost_micros,
        };
        let charge = Charge { prompt_tokens: 3, completion_tokens: 2, cost_micros: Some(7) };
        for user in [ada, bob, ada] {
            let uses = vec![part("small", 1, 2), part("large", 2, 5)];
            store.usage_add(user, at(5), charge, uses, String::new()).await.unwrap();
        }
        // The end of a run, of which nobody knows the model.
        let (_, run) = running(&store, ada).await;
        store.run_finish(run.fencing_token(), completed(), vec![]).await.unwrap();
        let today = day_of(run.created_at);
        let unknown = &store.usage_sums(today, today).await.unwrap()[0];
        assert_eq!((&*unknown.agent, unknown.users, unknown.runs, unknown.unpriced_runs), ("", 1, 1, 1));

        let day = day_of(at(5));
        let sums = store.usage_sums(day, day).await.unwrap();
        let shown: Vec<_> = sums.iter().map(|sum| (&*sum.model, sum.users, sum.prompt_tokens, sum.completion_tokens, sum.cost_micros)).collect();
        assert_eq!(shown, [("large", 2, 6, 3, 15), ("small", 0, 3, 3, 6)]);
        assert!(sums.iter().all(|sum| (sum.day, &*sum.agent) == (day, "helper")));
        assert!(store.usage_sums(day + 1, day + 9).await.unwrap().is_empty());

        // The most expensive first, and then by tokens.
        let tokens = Charge { prompt_tokens: 40, completion_tokens: 0, cost_micros: Some(7) };
        store.usage_add(eve, at(5), tokens, vec![], String::new()).await.unwrap();
        let month = month_of(day);
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let (rows, has_more) = store.usage_top_users(month, after, 1).await.unwrap();
            let row = rows[0].clone();
            after = Some((row.cost_micros, row.tokens, row.user_id));
            seen.push((row.user_id, row.cost_micros, row.tokens));
            if !has_more {
                break;
            }
        }
        assert_eq!(seen, [(ada, 14, 10), (eve, 7, 40), (bob, 7, 5)]);
        assert!(store.usage_top_users(month + 1, None, 9).await.unwrap().0.is_empty());

        let (near, more) = store.usage_from(day, 10, 14, None, 1).await.unwrap();
        assert_eq!((near[0].user_id, more), (ada.min(eve), true));
        let (rest, more) = store.usage_from(day, 10, 14, Some(near[0].user_id), 1).await.unwrap();
        assert_eq!((rest[0].user_id, more), (ada.max(eve), false));
    }

    async fn sums_are_completed_with_what_an_older_release_has_booked(db: &TestDb) {
        let store = db.store().await;
        let (ada, bob) = (user(&store).await.id, user(&store).await.id);
        let charge = Charge { prompt_tokens: 3, completion_tokens: 2, cost_micros: Some(7) };
        store.usage_add(ada, at(5), charge, vec![], String::new()).await.unwrap();
        store.usage_add(bob, at(5), charge, vec![], String::new()).await.unwrap();
        let day = day_of(at(5));
        db.sql("UPDATE usage_days SET prompt_tokens = prompt_tokens + 10, runs = runs + 1").await;
        db.sql("UPDATE usage_sums SET users = 1").await;
        for _ in 0..2 {
            store.usage_sums_catch_up(day).await.unwrap();
            let sum = &store.usage_sums(day, day).await.unwrap()[0];
            assert_eq!((sum.users, sum.runs, sum.prompt_tokens, sum.completion_tokens, sum.cost_micros), (2, 2, 26, 4, 14));
            let (months, _) = store.usage_top_users(month_of(day), None, 9).await.unwrap();
            assert!(months.iter().all(|row| (row.runs, row.tokens, row.cost_micros) == (1, 15, 7)), "{months:?}");
            assert_eq!(months.len(), 2);
        }
        store.usage_sums_catch_up(day + 1).await.unwrap();
        assert!(store.usage_sums(day + 1, day + 1).await.unwrap().is_empty());

        // A number that is too large ends no later booking, and no report.
        db.sql("UPDATE usage_days SET prompt_tokens = 9000000000000000000").await;
        store.usage_sums_catch_up(day).await.unwrap();
        store.usage_add(ada, at(5), charge, vec![], String::new()).await.unwrap();
        assert!(store.usage_sums(day, day).await.unwrap()[0].prompt_tokens > 2_000_000_000_000_000_000);
        assert!(store.usage_top_users(month_of(day), None, 9).await.unwrap().0[0].tokens > 2_000_000_000_000_000_000);
    }
}
