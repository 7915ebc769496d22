//! Progress of long tool calls.

use super::file::AgentsFile;
use super::mcp::{Directory, until_offered};
use super::python::{fixture, python};
use crate::support::{Gate, Script, Sse, Upstream, eventually};
use crate::{everywhere, serve_and_split};
use serde_json::json;
use std::time::{Duration, Instant};

/// Returns the progress texts, in order.
fn said(stream: &Sse) -> Vec<&str> {
    let said = stream.events.iter().filter(|(_, event)| event["type"] == "progress_update");
    said.map(|(_, event)| event["text"].as_str().unwrap()).collect()
}

everywhere! {
    async fn a_long_call_sends_progress_until_it_ends(setup: Setup) {
        let (upstream, service, gate) = (Upstream::start().await, Upstream::start().await, Gate::closed());
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
        service.queue(Script::default().stop(&gate).raw(answer));
        upstream.queue(Script::calls(&[("look_up", json!({})), ("list_tasks", json!({}))]));
        let file = AgentsFile::new(&format!(
            "[agents.a]\ntools = [\"built-in\", \"look_up\"]\n[tools.look_up]\nkind = \"http\"\nurl = \"{}/look\"\n\
             description = \"Looks.\"\n",
            service.base_url()
        ));
        let app = file.of(setup).upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let mut stream = user.start(session, "Look it up").await.unwrap();
        stream.until("progress_update").await;
        gate.open();
        let stream = stream.finish().await;
        assert_eq!(stream.terminal()["type"], "run.completed");
        assert_eq!(said(&stream)[0], "look up");
        assert!(said(&stream).iter().all(|text| text.starts_with("look up")), "{:?}", said(&stream));
        let last = stream.types().iter().rposition(|kind| *kind == "progress_update").unwrap();
        let ended = stream.events.iter().position(|(_, event)| {
            event["update"]["task"]["title"] == "look up" && event["update"]["task"]["status_indicator"] == "complete"
        });
        assert!(last < ended.expect("an entry that is done"), "{:?}", stream.types());
        // It is an event of the run like any other, and no item.
        let again = user.follow(stream.run_id(), None).await.unwrap().finish().await;
        assert_eq!(again.events, stream.events);
    }
}

serve_and_split! {
    async fn progress_of_an_mcp_server_is_shown(setup: Setup) {
        let Some(python) = python() else { return };
        let directory = Directory::new();
        let until = directory.0.join("enough");
        let script = fixture("odd_mcp.py").display().to_string();
        let file = AgentsFile::new(&format!(
            "[agents.a]\ntools = [\"mcp:odd\"]\n[mcp.odd]\ncommand = {python:?}\nargs = [{script:?}]\n"
        ));
        let upstream = Upstream::start().await;
        let app = file.of(setup).upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        until_offered(&user, session, &upstream, "odd_report").await;
        upstream.queue(Script::calls(&[("odd_report", json!({"until": until}))]));
        let began = Instant::now();
        let mut stream = user.start(session, "Report").await.unwrap();
        while said(&stream).len() < 4 {
            stream.next().await.unwrap();
        }
        std::fs::write(&until, "").unwrap();
        let stream = stream.finish().await;
        assert_eq!(stream.terminal()["type"], "run.completed");
        let at_most = began.elapsed().as_millis() / 500 + 1;
        assert!(said(&stream).len() as u128 <= at_most, "{} within {:?}", said(&stream).len(), began.elapsed());
        let step = |text: &&str| text.strip_prefix("Step ")?.split(' ').next()?.parse::<u32>().ok();
        let steps: Vec<u32> = said(&stream).iter().map(|text| step(text).expect(text)).collect();
        assert!(steps.is_sorted_by(|one, other| one < other), "{steps:?}");
        assert!(said(&stream).iter().all(|text| text.len() == 200), "{:?}", said(&stream));

        // The server is told that the call was cancelled.
        std::fs::remove_file(&until).unwrap();
        upstream.queue(Script::calls(&[("odd_report", json!({"until": until}))]));
        let mut stream = user.start(session, "Report").await.unwrap();
        stream.until("progress_update").await;
        user.post(&format!("/api/v1/chatkit/runs/{}/cancel", stream.run_id()), &json!({})).await.data();
        assert_eq!(stream.finish().await.terminal()["type"], "run.cancelled");
        let told = || async {
            user.say(session, "Hello").await.terminal();
            upstream.requests().last().unwrap().to_string().contains("odd_cancelled").then_some(())
        };
        eventually("the server is told that nobody waits", told).await;
        tokio::time::timeout(Duration::from_secs(5), async { std::fs::write(&until, "").unwrap() }).await.unwrap();
    }
}
