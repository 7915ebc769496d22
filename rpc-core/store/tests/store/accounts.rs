//! Accounts: their access, invitations, users of providers, service keys, the audit log, and erasure.

use crate::support::*;
use futures::future::join_all;
use threadline_schema::db::text::TextList;
use threadline_schema::ids::{AccessSubjectId, UserId};
use threadline_store::rows::{AccessChangeRow, AuditRow, ForeignIdentityRow, InvitationRow, ServiceKeyRow};
use threadline_store::{AccessChange, Conflict, ErasedHashes, ForeignIdentity, StoreError, UserAccess, user_actor};

fn change() -> AccessChange {
    AccessChange { id: new_id(), at: now() }
}

fn identity(subject: &str, roles: &[&str]) -> ForeignIdentity {
    ForeignIdentity {
        issuer: "https://idp.example".into(),
        subject: subject.into(),
        email: Some("ada@example.com".into()),
        roles: roles.iter().map(ToString::to_string).collect(),
        budget_class: None,
    }
}

on_both! {
    async fn access_changes_are_recorded_with_what_they_change(db: &TestDb) {
        let store = db.store().await;
        let user = user(&store).await;
        let new = UserAccess { token_generation: 0, tokens_after: None, disabled_at: None };
        assert_eq!(store.user_access(user.id).await.unwrap(), Some(new));
        assert_eq!(store.user_access(new_id()).await.unwrap(), None);

        let [first, second, third] = [1, 2, 3].map(|micros| AccessChange { id: new_id(), at: at(micros) });
        let ended = store.user_end_tokens(user.id, first.at, first).await.unwrap();
        assert_eq!((ended.token_generation, ended.tokens_after), (1, Some(first.at)));
        let wrong = store.user_set_password(user.id, Some("another".into()), "new".into(), at(7), change()).await;
        assert!(matches!(wrong, Err(StoreError::NotFound(_))), "{wrong:?}");
        let right = Some(user.password_hash.clone());
        let set = store.user_set_password(user.id, right, "new".into(), at(0), second).await.unwrap();
        assert_eq!((set.token_generation, set.password_hash.as_str()), (2, "new"));
        assert_eq!(set.tokens_after, Some(first.at), "what has ended does not begin again");
        let disabled = store.user_set_disabled(user.id, true, third).await.unwrap();
        assert_eq!(disabled.disabled_at, Some(third.at));
        assert_eq!(store.user_access(user.id).await.unwrap().unwrap().disabled_at, Some(third.at));
        assert_eq!(store.user_by_id(user.id).await.unwrap(), Some(disabled));

        let row = |change: AccessChange| {
            AccessChangeRow { id: change.id, subject_id: AccessSubjectId::from(user.id), changed_at: change.at }
        };
        // What failed left no record.
        assert_eq!(store.access_changes(first.at, 10).await.unwrap(), [row(first), row(second), row(third)]);
        assert_eq!(store.access_changes(second.at, 1).await.unwrap(), [row(second)]);
        assert_eq!(store.access_changes_trim(third.at).await.unwrap(), 2);
        assert_eq!(store.access_changes(first.at, 10).await.unwrap(), [row(third)]);

        let other = crate::support::user(&store).await;
        let page: Vec<UserId> = store.users_page(None, 10).await.unwrap().iter().map(|row| row.id).collect();
        assert_eq!(page, [user.id, other.id]);
        assert_eq!(store.users_page(Some(user.id), 10).await.unwrap(), [other]);
    }

    async fn a_class_comes_from_the_key_or_the_operator_or_the_provider(db: &TestDb) {
        let store = db.store().await;
        let of_provider = ForeignIdentity { budget_class: Some("basic".into()), ..identity("ada", &[]) };
        let ada = store.foreign_user(of_provider.clone(), new_id(), now()).await.unwrap();
        assert_eq!(store.budget_class(ada, None).await.unwrap().as_deref(), Some("basic"));
        // The provider changes its mind.
        let changed = ForeignIdentity { budget_class: Some("plus".into()), ..of_provider };
        assert_eq!(store.foreign_user(changed, new_id(), now()).await.unwrap(), ada);
        assert_eq!(store.budget_class(ada, None).await.unwrap().as_deref(), Some("plus"));
        let row = store.user_set_budget_class(ada, Some("gold".into())).await.unwrap();
        assert_eq!(row.budget_class.as_deref(), Some("gold"));
        assert_eq!(store.user_by_id(ada).await.unwrap(), Some(row));
        let key = |class: Option<&str>| ServiceKeyRow {
            id: new_id(),
            name: class.unwrap_or("none").into(),
            key_hash: class.unwrap_or("none").into(),
            methods: TextList::default(),
            users: TextList::default(),
            requests_per_minute: None,
            created_at: at(0),
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
            budget_class: class.map(Into::into),
        };
        let (without, with) = (key(None), key(Some("partner")));
        for (key, expected) in [(without, "gold"), (with, "partner")] {
            store.service_key_create(key.clone()).await.unwrap();
            assert_eq!(store.budget_class(ada, Some(key.id)).await.unwrap().as_deref(), Some(expected));
        }
        store.user_set_budget_class(ada, None).await.unwrap();
        assert_eq!(store.budget_class(ada, None).await.unwrap().as_deref(), Some("plus"));
        assert_eq!(store.budget_class(user(&store).await.id, None).await.unwrap(), None);
        assert!(matches!(store.user_set_budget_class(new_id(), None).await, Err(StoreError::NotFound(_))));
    }

    async fn an_invitation_is_used_as_often_as_it_says(db: &TestDb) {
        let store = db.store().await;
        let row = InvitationRow {
            id: new_id(),
            code_hash: "hash".into(),
            email: None,
            uses_left: 2,
            created_at: at(0),
            expires_at: at(100),
        };
        store.invitation_create(row.clone()).await.unwrap();
        let personal =
            InvitationRow { id: new_id(), code_hash: "p".into(), email: Some("a@example.com".into()), ..row.clone() };
        store.invitation_create(personal).await.unwrap();
        assert_eq!(store.invitations_forget("b@example.com".into()).await.unwrap(), 0);
        assert_eq!(store.invitations_forget("a@example.com".into()).await.unwrap(), 1);
        assert_eq!(store.invitations(10).await.unwrap(), std::slice::from_ref(&row));
        let register = |email: &str, time: i64| {
            store.user_create_invited(new_id(), email.to_owned(), "x".into(), at(time), "hash".into())
        };
        register("a@example.com", 1).await.unwrap();
        assert!(matches!(register("a@example.com", 1).await, Err(StoreError::EmailTaken)));
        assert!(matches!(register("b@example.com", 100).await, Err(StoreError::InvitationInvalid)));
        store.invitation_check("hash".into(), "b@example.com".into(), at(1)).await.unwrap();
        register("b@example.com", 1).await.unwrap();
        assert!(matches!(register("c@example.com", 1).await, Err(StoreError::InvitationInvalid)));
        let used_up = store.invitation_check("hash".into(), "b@example.com".into(), at(1)).await;
        assert!(matches!(used_up, Err(StoreError::InvitationInvalid)), "{used_up:?}");
        store.invitation_delete(row.id).await.unwrap();
        assert!(matches!(store.invitation_delete(row.id).await, Err(StoreError::NotFound(_))));
    }

    async fn a_service_key_and_the_audit_log_come_back_as_they_were(db: &TestDb) {
        let store = db.store().await;
        let key = ServiceKeyRow {
            id: new_id(),
            name: "shop".into(),
            key_hash: "hash".into(),
            methods: TextList(vec!["threads.*".into()]),
            users: TextList(vec!["https://idp.example|*".into()]),
            requests_per_minute: Some(7),
            created_at: at(0),
            expires_at: Some(at(9)),
            revoked_at: None,
            last_used_at: None,
            budget_class: Some("partner".into()),
        };
        store.service_key_create(key.clone()).await.unwrap();
        let same_name = ServiceKeyRow { id: new_id(), key_hash: "other".into(), ..key.clone() };
        let taken = store.service_key_create(same_name).await;
        assert!(matches!(taken, Err(StoreError::Conflict(Conflict::NameTaken))), "{taken:?}");
        assert_eq!(store.service_key_by_hash("hash".into()).await.unwrap(), Some(key.clone()));
        store.service_key_used(key.id, at(5)).await.unwrap();
        let revoked = change();
        let row = store.service_key_revoke(key.id, revoked).await.unwrap();
        assert_eq!((row.revoked_at, row.last_used_at), (Some(revoked.at), Some(at(5))));
        assert_eq!(store.service_key(key.id).await.unwrap(), Some(row.clone()));
        assert_eq!(store.service_keys().await.unwrap(), [row]);
        let forgotten = change();
        assert_eq!(store.service_keys_forget(|user| user == "nobody", change).await.unwrap(), 0);
        let is_gone = |user: &str| user == "https://idp.example|*";
        assert_eq!(store.service_keys_forget(is_gone, || forgotten).await.unwrap(), 1);
        assert_eq!(store.service_key(key.id).await.unwrap().unwrap().users, TextList(vec![]));
        let recorded = store.access_changes(forgotten.at, 10).await.unwrap();
        assert!(recorded.iter().any(|row| row.id == forgotten.id && row.subject_id == AccessSubjectId::from(key.id)));

        let token = new_id();
        store.client_token_cancel(token, at(50), change()).await.unwrap();
        store.client_token_cancel(token, at(50), change()).await.unwrap();
        assert!(store.client_token_is_cancelled(token).await.unwrap());
        assert!(!store.client_token_is_cancelled(new_id()).await.unwrap());
        assert_eq!(store.cancelled_client_tokens(at(49)).await.unwrap(), [token]);
        assert!(store.cancelled_client_tokens(at(50)).await.unwrap().is_empty());
        assert_eq!(store.cancelled_client_tokens_trim(at(51)).await.unwrap(), 1);

        let user = user(&store).await;
        let entry = |time: i64, user_id: Option<UserId>| AuditRow {
            id: new_id(),
            at: at(time),
            actor: "key:shop".into(),
            key_id: Some(key.id),
            user_id,
            action: "threads.create".into(),
            outcome: "allowed".into(),
            request_id: Some("r".into()),
            address: Some("192.0.2.1".into()),
        };
        let (old, new) = (entry(1, Some(user.id)), entry(2, None));
        store.audit_append(vec![old.clone(), new.clone()]).await.unwrap();
        assert_eq!(store.audit_newest(10).await.unwrap(), [new.clone(), old.clone()]);
        let by_user = AuditRow { actor: user_actor(user.id), key_id: None, ..entry(3, None) };
        store.audit_append(vec![by_user.clone()]).await.unwrap();
        assert_eq!(store.export_audit(user.id, None, 10).await.unwrap(), [old, by_user.clone()]);
        store.erase_account(user.id, ErasedHashes::default(), change()).await.unwrap();
        let erased = AuditRow { actor: "user".into(), address: None, ..by_user };
        assert_eq!(store.audit_trim(at(2)).await.unwrap(), 1);
        assert_eq!(store.audit_newest(10).await.unwrap(), [erased, new]);
    }

    async fn erasure_leaves_sums_that_are_nobodys(db: &TestDb) {
        let store = db.store().await;
        let user_id = store.foreign_user(identity("ada", &[]), new_id(), now()).await.unwrap();
        for _ in 0..2 {
            let (_, run) = running(&store, user_id).await;
            store.run_finish(run.fencing_token(), completed(), vec![]).await.unwrap();
        }
        let kept = user(&store).await;
        thread(&store, kept.id).await;
        assert!(store.erasures(10).await.unwrap().is_empty());
        // By a token of a clock that is ahead.
        store.erasure_request(user_id, at(6), change()).await.unwrap();
        store.erasure_request(user_id, at(1), change()).await.unwrap();
        assert_eq!(store.erasures(10).await.unwrap(), [user_id]);
        assert!(store.is_being_erased(user_id).await.unwrap() && !store.is_being_erased(kept.id).await.unwrap());
        let enabled = store.user_set_disabled(user_id, false, change()).await;
        assert!(matches!(enabled, Err(StoreError::Conflict(Conflict::BeingErased))), "{enabled:?}");
        assert!(store.user_access(user_id).await.unwrap().unwrap().disabled_at.is_some());
        for thread in store.export_threads(user_id, None, 10).await.unwrap() {
            store.thread_delete(user_id, thread.id).await.unwrap();
        }
        let hashes = || ErasedHashes { identity: Some("hash".into()), email: Some("of an email".into()) };
        let twice = [0, 1].map(|_| store.erase_account(user_id, hashes(), AccessChange { id: new_id(), at: at(5) }));
        for erased in join_all(twice).await {
            erased.unwrap();
        }
        assert_eq!(store.user_by_id(user_id).await.unwrap(), None);
        let changes = store.access_changes(at(5), 10).await.unwrap();
        assert!(changes.iter().any(|row| row.changed_at == at(5) && row.subject_id == AccessSubjectId::from(user_id)));
        assert!(store.erasures(10).await.unwrap().is_empty());
        assert_eq!(store.identity_erased_at("hash".into()).await.unwrap(), Some(at(6)));
        assert_eq!(store.erased_identities_trim(at(7)).await.unwrap(), 1);
        assert_eq!(db.number("SELECT CAST(sum(runs) AS bigint) FROM anonymous_usage").await, 2);
        assert_eq!(db.number("SELECT CAST(sum(prompt_tokens) AS bigint) FROM anonymous_usage").await, 20);
        assert_eq!(store.export_threads(kept.id, None, 10).await.unwrap().len(), 1);
        let gone = store.erasure_request(user_id, at(1), change()).await;
        assert!(matches!(gone, Err(StoreError::NotFound(_))), "{gone:?}");
    }
}

on_both! { threads:
    async fn a_user_of_a_provider_is_created_once(db: &TestDb) {
        let store = db.store().await;
        let calls = (0..8).map(|_| store.foreign_user(identity("a|b", &["x"]), new_id(), at(1)));
        let ids: Vec<UserId> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(db.number("SELECT count(*) FROM users").await, 1);
        let row = store.foreign_identity("https://idp.example".into(), "a|b".into()).await.unwrap().unwrap();
        let expected = ForeignIdentityRow {
            issuer: "https://idp.example".into(),
            subject: "a|b".into(),
            user_id: ids[0],
            email: Some("ada@example.com".into()),
            roles: TextList(vec!["x".into()]),
            created_at: at(1),
            budget_class: None,
        };
        assert_eq!(row, expected);
        let account = store.user_by_id(ids[0]).await.unwrap().unwrap();
        assert!(!account.has_password() && account.own_email().is_none());

        // What the provider says may change, and email addresses need not differ.
        let changed = store.foreign_user(identity("a|b", &["y"]), new_id(), at(2)).await.unwrap();
        assert_eq!(changed, ids[0]);
        assert_eq!(store.foreign_identity_of(ids[0]).await.unwrap().unwrap().roles, TextList(vec!["y".into()]));
        assert_ne!(store.foreign_user(identity("A|B", &[]), new_id(), at(2)).await.unwrap(), ids[0]);
    }

    async fn what_a_provider_says_about_a_user_is_kept_when_a_service_names_the_user_at_the_same_time(db: &TestDb) {
        let store = db.store().await;
        for number in 0..20 {
            let subject = format!("user-{number}");
            let issuer = || "https://idp.example".to_owned();
            let named = (0..4).map(|_| store.foreign_user_named(issuer(), subject.clone(), new_id(), at(1)));
            let by_token = store.foreign_user(identity(&subject, &["x"]), new_id(), at(1));
            let (named, by_token) = tokio::join!(join_all(named), by_token);
            let id = by_token.unwrap();
            assert!(named.into_iter().all(|named| named.unwrap() == id), "{subject}");
            let row = store.foreign_identity_of(id).await.unwrap().unwrap();
            assert_eq!((row.email.as_deref(), row.roles), (Some("ada@example.com"), TextList(vec!["x".into()])));
        }
        assert_eq!(db.number("SELECT count(*) FROM users").await, 20);
    }
}
