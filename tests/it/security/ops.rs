//! The listener of operators.

use crate::serve_and_split;

serve_and_split! {
    async fn operators_have_a_listener_of_their_own(setup: Setup) {
        let app = setup.with("OPS_LISTEN", "127.0.0.1:0").start().await;
        let nobody = app.anonymous();
        for path in ["/metrics", "/health/all", "/health/db", "/health/openrouter"] {
            nobody.get(path).await.fails(404, "NOT_FOUND");
        }
        assert_eq!(nobody.get("/health").await.status, 200);
        let of_core = |path: &str| reqwest::get(format!("http://{}{path}", app.rpc));
        assert_eq!(of_core("/metrics").await.unwrap().status(), 404);
        assert_eq!(of_core("/health").await.unwrap().status(), 200);
        for process in &app.processes {
            let ops = process.ops.clone().expect("the address of the listener");
            for path in ["/metrics", "/health", "/health/all"] {
                assert_eq!(reqwest::get(format!("http://{ops}{path}")).await.unwrap().status(), 200, "{path}");
            }
            for path in ["/docs", "/chat", "/api/v1/tasks", "/rpc"] {
                assert_eq!(reqwest::get(format!("http://{ops}{path}")).await.unwrap().status(), 404, "{path}");
            }
        }
    }
}
