//! Secrets: in files, for this user alone, and not for children.

use crate::support::process::{SECRET, command};
use crate::support::{Setup, eventually};
use rcgen::{CertifiedKey, generate_simple_self_signed};
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
