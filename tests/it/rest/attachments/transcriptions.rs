//! `/api/v1/chatkit/transcriptions`: speech to text.

use crate::serve_and_split;
use crate::support::{Script, Upstream};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

const TRANSCRIPTIONS: &str = "/api/v1/chatkit/transcriptions";

serve_and_split! {
    async fn the_models_server_gets_the_recording(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.queue(Script::json(&json!({"text": "Buy milk"})));
        let app = setup.upstream(&upstream).with("TRANSCRIPTION_MODEL", "test-whisper").start().await;
        let user = app.user().await;
        let recording = b"\x1aE\xdf\xa3 not really sound";
        let speech = json!({"audio_base64": BASE64.encode(recording), "mime_type": "audio/webm;codecs=opus"});
        let reply = user.post(TRANSCRIPTIONS, &speech).await;
        assert_eq!(reply.data(), &json!({"text": "Buy milk"}));
        let head = upstream.heads().pop().unwrap();
        assert!(head.starts_with("POST /v1/audio/transcriptions "), "{head}");
        let head = head.to_ascii_lowercase();
        assert!(head.contains("authorization: bearer sk-test-key"), "{head}");
        assert!(head.contains(&format!("x-request-id: {}", reply.header("x-request-id"))), "{head}");
        assert!(head.contains("content-type: multipart/form-data; boundary="), "{head}");
        let body = upstream.bodies().pop().unwrap();
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains("name=\"model\"\r\n\r\ntest-whisper\r\n"), "{text}");
        assert!(text.contains("filename=\"recording.webm\"\r\nContent-Type: audio/webm\r\n"), "{text}");
        assert!(body.windows(recording.len()).any(|window| window == recording), "{text}");
    }

    async fn failures_are_reported_as_failures_of_the_model(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup
            .upstream(&upstream)
            .with("TRANSCRIPTION_MODEL", "test-whisper")
            .with("AGENT_TIMEOUT_SECONDS", 1)
            .start()
            .await;
        let user = app.user().await;
        let speech = json!({"audio_base64": "AAAA", "mime_type": "audio/webm"});
        for (script, status, code) in [
            (Script::fails(500, &json!({"error": {"message": "out of sk-test-key"}})), 502, "UPSTREAM_ERROR"),
            (Script::fails(429, &json!({"error": "overworked"})), 503, "SERVICE_UNAVAILABLE"),
            (Script::json(&json!({"words": "x"})), 502, "UPSTREAM_ERROR"),
            (Script::default().hang(), 504, "UPSTREAM_TIMEOUT"),
        ] {
            upstream.queue(script);
            let reply = user.post(TRANSCRIPTIONS, &speech).await;
            let message = reply.fails(status, code);
            assert!(!message.contains("sk-test-key") && !message.contains("overworked"), "{message}");
        }
        for (body, names) in [
            (json!({}), "audio_base64"),
            (json!({"audio_base64": "AAAA"}), "mime_type"),
            (json!({"audio_base64": "", "mime_type": "audio/webm"}), "empty"),
            (json!({"audio_base64": "A", "mime_type": "audio/webm"}), "base64"),
            (json!({"audio_base64": "AA\u{0}A", "mime_type": "audio/webm"}), "base64"),
            (json!({"audio_base64": 7, "mime_type": "audio/webm"}), "audio_base64"),
            (json!({"audio_base64": "AAAA", "mime_type": "text/html"}), "audio/webm"),
            (json!({"audio_base64": "AAAA", "mime_type": "audio/webm", "model": "x"}), "model"),
        ] {
            let reply = user.post(TRANSCRIPTIONS, &body).await;
            let message = reply.fails(400, "INVALID_REQUEST");
            assert!(message.contains(names), "{body}: {message}");
        }
        let large = json!({"audio_base64": "A".repeat(1_100_000), "mime_type": "audio/webm"});
        user.post(TRANSCRIPTIONS, &large).await.fails(413, "PAYLOAD_TOO_LARGE");
        app.anonymous().post(TRANSCRIPTIONS, &speech).await.fails(401, "UNAUTHORIZED");
        let log = app.log().iter().map(ToString::to_string).collect::<String>();
        assert!(!log.contains("sk-test-key"), "the key is in the log");
    }

    async fn without_a_transcription_model_the_error_says_what_to_set(setup: Setup) {
        let app = setup.start().await;
        let speech = json!({"audio_base64": "AAAA", "mime_type": "audio/webm"});
        let reply = app.user().await.post(TRANSCRIPTIONS, &speech).await;
        assert!(reply.fails(503, "SERVICE_UNAVAILABLE").contains("TRANSCRIPTION_MODEL"));
    }
}
