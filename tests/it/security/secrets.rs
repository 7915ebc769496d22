//! Secrets: in files, for this user alone, and not for children.

use crate::support::process::{SECRET, command};
use crate::support::{Setup, eventually};
use rcgen::{CertificateParams, CertifiedKey, KeyPair, generate_simple_self_signed};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

fn write(name: &str, text: &str) -> String {
    let path = std::env::temp_dir().join(format!("threadline-{name}-{}", uuid::Uuid::new_v4().simple()));
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_read_from_a_file() {
    let file = write("secret", &format!("{SECRET}\n"));
    let app = Setup::new().await.with("SECRET_KEY", "").with("SECRET_KEY_FILE", &file).start().await;
    // Its token is signed with the same key.
    assert_eq!(app.user().await.get("/api/v1/auth/me").await.status, 200);
    for (name, value, said) in
        [("SECRET_KEY_FILE", "/no/such/file", "SECRET_KEY_FILE"), ("SECRET_KEY", "x", "set one of them")]
    {
        let mut doctor = command(&["doctor"]);
        let output = doctor.env("SECRET_KEY_FILE", &file).env(name, value).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && error.contains(said), "{error}");
        assert!(!error.contains(SECRET), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_belong_to_this_user_alone() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let image = crate::rest::attachments::attach(&user, "note.txt", "text/plain", b"words").await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let url = app.database.url();
    let database = url.strip_prefix("sqlite://").unwrap();
    for end in ["", "-wal", "-shm", ".lock"] {
        assert_eq!(mode(Path::new(&format!("{database}{end}"))), 0o600, "{end}");
    }
    let id = image["id"].as_str().unwrap();
    assert_eq!(mode(app.files.path()), 0o700);
    assert_eq!(mode(&app.files.path().join(id)), 0o700);
    assert_eq!(mode(&app.files.path().join(id).join("content")), 0o600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environment_is_not_for_other_processes_of_the_user() {
    use std::os::unix::fs::MetadataExt;
    let mut app = Setup::new().await.start().await;
    // The kernel gives the files of a process that is not dumpable to root.
    let environ = std::fs::metadata(format!("/proc/{}/environ", app.core().id())).unwrap();
    let own = std::fs::metadata("/proc/self/environ").unwrap();
    assert_eq!(environ.uid(), 0);
    if own.uid() != 0 {
        assert!(std::fs::read(format!("/proc/{}/environ", app.core().id())).is_err());
    }
}

fn certificate() -> (String, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_needs_no_restart() {
    let (cert, key) = certificate();
    let (cert_file, key_file) = (write("cert", &cert), write("key", &key));
    let mut app = Setup::new().await.with("TLS_CERT_FILE", &cert_file).with("TLS_KEY_FILE", &key_file).start().await;
    let address = app.rest.clone();
    let trusts = async |cert: &str| {
        let root = reqwest::Certificate::from_pem(cert.as_bytes()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([root]);
        let port = address.rsplit(':').next().unwrap();
        client.build().unwrap().get(format!("https://localhost:{port}/health")).send().await.is_ok()
    };
    assert!(trusts(&cert).await);
    let (new_cert, new_key) = certificate();
    std::fs::write(&cert_file, &new_cert).unwrap();
    std::fs::write(&key_file, &new_key).unwrap();
    app.core().signal("HUP");
    eventually("the new certificate is shown", || async { trusts(&new_cert).await.then_some(()) }).await;
    assert!(!trusts(&cert).await);
    // One that does not fit changes nothing, and without a signal a new one is found too.
    std::fs::write(&cert_file, &cert).unwrap();
    app.core().signal("HUP");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(trusts(&new_cert).await);
    std::fs::write(&key_file, &key).unwrap();
    eventually("the changed files are found", || async { trusts(&cert).await.then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_has_expired_is_told() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let old = params.self_signed(&key).unwrap().pem();
    let (cert_file, key_file) = (write("old-cert", &old), write("old-key", &key.serialize_pem()));
    let setup = Setup::new().await.with("TLS_CERT_FILE", &cert_file).with("TLS_KEY_FILE", &key_file);
    let app = setup.start().await;
    let is_told = |line: &serde_json::Value| {
        line["level"] == "ERROR" && line["message"].as_str().is_some_and(|text| text.contains("TLS_CERT_FILE"))
    };
    eventually("it is in the log", || async { app.log().iter().any(is_told).then_some(()) }).await;

    let doctor = |cert: &str| {
        let mut doctor = command(&["doctor"]);
        let output = doctor.env("TLS_CERT_FILE", cert).env("TLS_KEY_FILE", &key_file).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().find(|line| line.contains("server")).expect("a line").to_owned()
    };
    assert!(doctor(&cert_file).contains("2020-01-01"), "{}", doctor(&cert_file));
    let missing = doctor("/no/such/certificate");
    assert!(missing.contains("TLS_CERT_FILE") && missing.contains("/no/such/certificate"), "{missing}");
    params.not_after = rcgen::date_time_ymd(2999, 1, 1);
    let good = write("good-cert", &params.self_signed(&key).unwrap().pem());
    let line = doctor(&good);
    assert!(line.starts_with("ok") && line.contains("TLS until 2999-01-01"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hang_up_does_not_end_a_service_that_has_nothing_to_reload() {
    let mut app = Setup::new().await.start().await;
    app.core().signal("HUP");
    let is_told =
        |line: &serde_json::Value| line["message"].as_str().is_some_and(|text| text.contains("nothing to reload"));
    eventually("it is in the log", || async { app.log().iter().any(is_told).then_some(()) }).await;
    assert_eq!(app.anonymous().get("/health").await.status, 200);
}
