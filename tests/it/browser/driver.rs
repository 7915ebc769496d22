//! Chromium, driven through ChromeDriver.

use crate::support::{PATIENCE, eventually};
use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{ClientBuilder, Locator};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::Url;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::str::FromStr;
use threadline_test_requirements::Requirement;
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

/// The Enter key, as WebDriver names it.
pub const ENTER: char = '\u{E007}';
/// The Escape key.
pub const ESCAPE: char = '\u{E00C}';
/// The tabulator key.
pub const TAB: char = '\u{E004}';

/// A browser is large: one at a time is enough.
static TURN: Mutex<()> = Mutex::const_new(());

/// A browser with its own profile, removed when it is dropped, also on a panic.
pub struct Browser {
    pub client: fantoccini::Client,
    driver: Driver,
    _turn: MutexGuard<'static, ()>,
}

/// Starts a browser; `None` when there is no ChromeDriver.
pub async fn browser() -> Option<Browser> {
    let driver = Requirement::Browser.find()?;
    let turn = TURN.lock().await;
    let driver = tokio::task::spawn_blocking(move || Driver::start(&driver)).await.expect("ChromeDriver starts");
    let arguments = [
        "--headless=new".to_owned(),
        // Tests may run as root, and in containers whose /dev/shm is small.
        "--no-sandbox".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--window-size=1100,900".to_owned(),
        format!("--user-data-dir={}", driver.profile.display()),
    ];
    let capabilities = json!({"goog:chromeOptions": {"args": arguments}});
    let client = ClientBuilder::new(HttpConnector::new())
        .capabilities(capabilities.as_object().expect("an object").clone())
        .connect(&format!("http://127.0.0.1:{}", driver.port))
        .await
        .expect("ChromeDriver finds a browser");
    Some(Browser { client, driver, _turn: turn })
}

impl Browser {
    pub async fn goto(&self, url: &str) {
        self.client.goto(url).await.expect("a page");
    }

    /// Waits until an element is visible. Returns it.
    pub async fn see(&self, css: &str) -> Element {
        eventually(&format!("{css} can be seen"), || async {
            let element = self.client.find(Locator::Css(css)).await.ok()?;
            element.is_displayed().await.ok()?.then_some(element)
        })
        .await
    }

    /// Waits until an element contains a text.
    pub async fn read(&self, css: &str, text: &str) {
        eventually(&format!("{css} says {text:?}"), || async {
            // It can be redrawn between the two.
            let found = self.client.find(Locator::Css(css)).await.ok()?.text().await.ok()?;
            found.contains(text).then_some(())
        })
        .await;
    }

    pub async fn count(&self, css: &str) -> usize {
        self.client.find_all(Locator::Css(css)).await.expect("a selector").len()
    }

    /// Clicks on an element as soon as it is clickable.
    pub async fn click(&self, css: &str) {
        eventually(&format!("{css} can be clicked"), || async { self.see(css).await.click().await.ok() }).await;
    }

    /// Types into an element as soon as it accepts input.
    pub async fn write(&self, css: &str, text: &str) {
        let field = self.see(css).await;
        eventually(&format!("{css} is enabled"), || async { field.is_enabled().await.ok()?.then_some(()) }).await;
        field.send_keys(text).await.expect("keys that are taken");
    }

    /// Presses a key, wherever the focus is.
    pub async fn press(&self, key: char) {
        let keys = KeyActions::new("keyboard".to_owned());
        let keys = keys.then(KeyAction::Down { value: key }).then(KeyAction::Up { value: key });
        self.client.perform_actions(keys).await.expect("a key that is taken");
    }

    /// Says whether the system asks for dark colours.
    pub async fn set_dark(&self, is_dark: bool) {
        let value = if is_dark { "dark" } else { "light" };
        let params = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        let command = DevTools(json!({"cmd": "Emulation.setEmulatedMedia", "params": params}));
        self.client.issue_cmd(command).await.expect("colours that the browser can ask for");
    }

    /// Returns the id of the element that has the focus; empty without an id.
    pub async fn focus(&self) -> String {
        self.run("return document.activeElement.id").await.as_str().unwrap_or_default().to_owned()
    }

    /// Chooses a file in an input of files, seen or not.
    pub async fn choose(&self, css: &str, file: &Path) {
        let input = self.client.find(Locator::Css(css)).await.expect("an input of files");
        input.send_keys(file.to_str().expect("a path in UTF-8")).await.expect("a file that is taken");
    }

    /// Runs the body of a function in the page.
    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.expect("a script that works")
    }

    /// Returns a directory for files of the test, removed with the browser.
    pub fn directory(&self) -> &Path {
        &self.driver.profile
    }
}

/// A command for Chromium that WebDriver does not have.
#[derive(Debug)]
struct DevTools(Value);

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, <Url as FromStr>::Err> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.0.to_string()))
    }
}

/// ChromeDriver at work.
struct Driver {
    child: Child,
    port: u16,
    profile: PathBuf,
    /// Kept open, so that it can continue to write.
    _output: BufReader<ChildStdout>,
}

impl Driver {
    fn start(program: &str) -> Self {
        let profile = std::env::temp_dir().join(format!("threadline-browser-{}", Uuid::new_v4().simple()));
        std::fs::create_dir(&profile).expect("a directory for the profile");
        let mut child = Command::new(program)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("ChromeDriver");
        let mut output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        let port = loop {
            line.clear();
            assert!(output.read_line(&mut line).is_ok_and(|read| read > 0), "ChromeDriver does not start");
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches(['.', '\n']).parse().expect("a port");
            }
        };
        Self { child, port, profile, _output: output }
    }

    /// Asks it to end with its browser, which would outlive a signal.
    fn shut_down(&self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /shutdown HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.shut_down();
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}
