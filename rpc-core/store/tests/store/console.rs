//! What operators read about all users, and roles.

use crate::support::*;
use threadline_schema::ids::UserId;
use threadline_store::{Charge, ForeignIdentity, Store, day_of};

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

    async fn usage_of_all_users_is_summed_and_never_too_large(db: &TestDb) {
        let store = db.store().await;
        let (ada, bob) = (user(&store).await.id, user(&store).await.id);
        let charge = Charge { prompt_tokens: 3, completion_tokens: 2, cost_micros: Some(7) };
        for user in [ada, bob] {
            store.usage_add(user, at(5), charge, String::new()).await.unwrap();
        }
        let day = day_of(at(5));
        let sums = store.console_usage(day, day).await.unwrap();
        assert_eq!(sums.len(), 1);
        assert_eq!((sums[0].day, sums[0].users), (day, 2));
        assert_eq!((sums[0].prompt_tokens, sums[0].completion_tokens, sums[0].cost_micros), (6, 4, 14));
        assert!(store.console_usage(day + 1, day + 9).await.unwrap().is_empty());
        db.sql("UPDATE usage_days SET prompt_tokens = 9000000000000000000").await;
        assert_eq!(store.console_usage(day, day).await.unwrap()[0].prompt_tokens, 9_000_000_000_000_000_000);
    }
}
