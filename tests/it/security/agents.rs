//! Agents that are not for everybody.

use crate::agents::file::AgentsFile;
use crate::everywhere;
use crate::support::client::read;
use crate::support::{Client, Reply};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

async fn create(user: &Client, agent: Option<&str>) -> Reply {
    read(user.request(Method::POST, "/api/v1/chatkit/sessions").json(&json!({"agent": agent}))).await
}

everywhere! {
    async fn an_agent_can_be_for_some_roles_only(setup: Setup) {
        let file = AgentsFile::new("default = \"all\"\n[agents.all]\n[agents.staff]\nallow = [\"clerk\", \"chief\"]\n");
        let app = file.of(setup).start().await;
        let (clerk, customer) = (app.user().await, app.user().await);
        let roles = async |user: &Client, roles: &str| {
            let (id, at) = (app.database.id(user.user_id.unwrap()), if app.database.is_postgres() { "now()" } else { "0" });
            let subject = Uuid::new_v4();
            app.database
                .batch(&format!(
                    "DELETE FROM foreign_identities WHERE user_id = {id}; INSERT INTO foreign_identities \
                     (issuer, subject, user_id, roles, created_at) VALUES ('i', '{subject}', {id}, '{roles}', {at})"
                ))
                .await;
        };
        roles(&clerk, r#"["clerk"]"#).await;
        roles(&customer, r#"["customer"]"#).await;
        let session: Uuid = create(&clerk, Some("staff")).await.data()["id"].as_str().unwrap().parse().unwrap();
        assert!(clerk.say(session, "Hello").await.done);
        let refused = create(&customer, Some("staff")).await;
        let message = refused.fails(400, "INVALID_REQUEST");
        assert!(message.contains("all") && !message.contains("staff"), "its name is not told: {message}");
        create(&customer, None).await.data();
        // Who loses the role loses the agent, also in a conversation that has begun.
        roles(&clerk, "[]").await;
        clerk.say_in_vain(session, "Hello").await.fails(403, "FORBIDDEN");
        let action = json!({"thread_id": session, "action": {"type": "tasks.complete", "payload": {"task_id": Uuid::nil()}}});
        assert_eq!(clerk.rpc("threads.sync_custom_action", action).await["error"]["data"]["code"], "FORBIDDEN");
    }
}
