//! The console of operators, by mouse and keyboard, also on a phone, and for people who cannot see it.

use super::driver::{Browser, ENTER, browser};
use super::page::check;
use crate::rest::admin::with_roles;
use crate::support::client::PASSWORD;
use crate::support::{App, Client, Gate, Script, Setup, Upstream, eventually};
use serde_json::json;
use threadline_test_requirements::Requirement;

/// The parts of the console.
const TABS: [&str; 14] = [
    "agents",
    "runs",
    "usage",
    "top-users",
    "budgets",
    "users",
    "threads",
    "items",
    "feedback",
    "errors",
    "processes",
    "keys",
    "audit",
    "settings",
];
/// The right arrow key, as WebDriver names it.
const RIGHT: &str = "\u{E014}";

/// Opens the console, and signs a user in.
async fn sign_in(browser: &Browser, app: &App, user: &Client) {
    browser.goto(&format!("http://{}/admin", app.rest)).await;
    browser.write("#email", &user.email).await;
    browser.write("#password", PASSWORD).await;
    browser.click("#sign-in button").await;
}

/// Says yes to the question that a click asks. It can come a moment after the click.
async fn confirm(browser: &Browser) {
    eventually("a question", || async { browser.client.accept_alert().await.ok() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_and_changes_what_happens() {
    // First: the turn of this test can come late, and a run does not wait for ever.
    let Some(browser) = browser().await else { return };
    let upstream = Upstream::start().await;
    let gate = Gate::closed();
    upstream.queue(Script::says(&["Hello"]));
    upstream.queue(Script::stream().words(&["Once"]).stop(&gate).done("stop"));
    let app = Setup::new().await.upstream(&upstream).start().await;
    let (admin, ada) = (with_roles(&app, &["admin"]).await, app.user().await);
    let session = ada.session().await;
    ada.say(session, "Hello").await;
    let mut stream = ada.start(session, "A story").await.unwrap();
    stream.until_said("Once").await;
    sign_in(&browser, &app, &admin).await;
    browser.read("#tab-runs[aria-selected=true]", "Live runs").await;
    browser.read("#scroll tbody tr", &ada.email).await;
    let tokens = browser.run("return document.querySelector('#scroll td:nth-child(6)').textContent").await;
    let counted = tokens.as_str().unwrap().replace(',', "").parse::<u32>();
    assert!(counted.is_ok_and(|tokens| tokens > 1), "{tokens}");
    browser.read("#health", "Service:").await;

    browser.click("#scroll tbody button").await;
    confirm(&browser).await;
    browser.read("#status", "No run is active").await;

    browser.write("#tab-runs", RIGHT).await;
    browser.see("#tab-usage[aria-selected=true]").await;
    browser.click("#tab-users").await;
    browser.see("#tab-users[aria-selected=true]").await;
    browser.write("#prefix", &format!("{}{}", ada.email, ENTER)).await;
    browser.read("#status", "1 row").await;
    browser.click("#scroll tbody button").await;
    confirm(&browser).await;
    browser.read("#scroll tbody tr", "disabled since").await;
    browser.click("#tab-usage").await;
    browser.see("#charts svg rect").await;
    let bars = browser
        .run("return [...document.querySelectorAll('#charts rect')].map((bar) => Number(bar.getAttribute('x')))");
    let bars = bars.await;
    assert!(bars[0].as_f64().is_some_and(|x| x > 690.0), "29 days without usage are before today: {bars}");
    let labels = browser.run("return document.querySelector('#charts svg + .scale').children.length").await;
    assert_eq!(
        (labels, browser.count("#charts svg text").await),
        (json!(2), 0),
        "labels do not shrink with the drawing"
    );
    browser.read("#charts .meters", "default").await;
    browser.read("#filter-model", "test-model").await;

    browser.click("#tab-users").await;
    browser.write("#prefix", &format!("{}{}", ada.email, ENTER)).await;
    browser.read("#status", "1 row").await;
    browser.click("#scroll tbody button:nth-of-type(2)").await;
    browser.see("#tab-threads[aria-selected=true]").await;
    browser.read("#scroll tbody tr", &session.to_string()).await;
    browser.click("#scroll tbody button").await;
    confirm(&browser).await;
    browser.see("#tab-items[aria-selected=true]").await;
    browser.read("#problem", "admin:read_content").await;
    browser.click("#tab-processes").await;
    browser.read("#scroll tbody tr", "this one").await;

    let Some(axe) = Requirement::Axe.find() else { return };
    let axe = std::fs::read_to_string(axe).expect("TEST_AXE is the path of axe.min.js");
    for (width, height) in [(1100, 900), (390, 800)] {
        browser.client.set_window_size(width, height).await.unwrap();
        for tab in TABS {
            browser.click(&format!("#tab-{tab}")).await;
            browser.see(&format!("#tab-{tab}[aria-selected=true]")).await;
            check(&browser, &axe, &format!("{tab} at {width}")).await;
            let fits = browser.run("return document.scrollingElement.scrollWidth <= innerWidth").await;
            assert!(fits == true, "{tab} at {width} is wider than the window");
        }
    }
    browser.click("#sign-out").await;
    browser.see("#entrance").await;
    check(&browser, &axe, "the form to sign in").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feedback_is_read_with_its_answers_by_those_who_may() {
    let upstream = Upstream::start().await;
    upstream.queue(Script::says(&["Once upon"]));
    let app = Setup::new().await.upstream(&upstream).start().await;
    let (reader, ada) = (with_roles(&app, &["admin", "admin:read_content"]).await, app.user().await);
    let session = ada.session().await;
    ada.say(session, "A story").await;
    let page = ada.rpc_ok("items.list", json!({"thread_id": session, "limit": 1})).await;
    let rating = json!({"thread_id": session, "item_ids": [page["data"][0]["id"]], "kind": "positive"});
    ada.rpc_ok("items.feedback", rating).await;
    let Some(browser) = browser().await else { return };
    sign_in(&browser, &app, &reader).await;

    browser.click("#tab-feedback").await;
    browser.read("#scroll tbody tr", "positive").await;
    assert!(!browser.see("#scroll tbody tr").await.text().await.unwrap().contains("Once upon"));
    browser.click("#filter-include_content").await;
    browser.click("#search button").await;
    browser.read("#scroll tbody tr", "Once upon").await;
    browser.run("document.querySelector('#filter-kind').value = 'negative'").await;
    browser.click("#search button").await;
    browser.read("#status", "No answer was rated").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_by_keyboard_leaves_the_list_and_the_focus_in_place() {
    let upstream = Upstream::start().await;
    let gate = Gate::closed();
    let app = Setup::new().await.upstream(&upstream).start().await;
    let (admin, ada, bob) = (with_roles(&app, &["admin"]).await, app.user().await, app.user().await);
    let Some(browser) = browser().await else { return };
    let mut streams = Vec::new();
    for user in [&ada, &bob] {
        upstream.queue(Script::stream().words(&["Once"]).stop(&gate).done("stop"));
        let mut stream = user.start(user.session().await, "A story").await.unwrap();
        stream.until_said("Once").await;
        streams.push(stream);
    }
    sign_in(&browser, &app, &admin).await;
    browser.read("#status", "2 rows").await;
    assert_eq!(browser.focus().await, "panel", "the form is gone, and the focus is not");
    let focused = "return document.activeElement.getAttribute('aria-label')";
    let mark = "document.querySelectorAll('#scroll tbody tr').forEach((row) => { row.dataset.old = ''; })";

    // Newest first.
    for left in ["1 row", "No run is active"] {
        browser.write("#scroll tbody tr:first-child button", &ENTER.to_string()).await;
        confirm(&browser).await;
        browser.read("#status", left).await;
    }
    assert_eq!(browser.focus().await, "scroll", "no button is left");

    browser.click("#tab-users").await;
    browser.read("#status", "3 rows").await;
    browser.run(mark).await;
    browser.write("#scroll tbody tr:nth-child(2) button", &ENTER.to_string()).await;
    confirm(&browser).await;
    browser.read("#scroll tbody tr:nth-child(2)", "disabled since").await;
    assert_eq!(browser.count("#scroll tbody tr[data-old]").await, 2, "the other rows are those of before");
    assert_eq!(browser.run(focused).await, format!("Enable {}?", ada.email));
    browser.write("#scroll tbody tr:nth-child(2) button:nth-of-type(2)", &ENTER.to_string()).await;
    browser.see("#tab-threads[aria-selected=true]").await;
    assert_eq!(browser.focus().await, "panel");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_without_the_role_sees_why_nothing_is_shown() {
    let app = Setup::new().await.start().await;
    let ada = app.user().await;
    let Some(browser) = browser().await else { return };
    sign_in(&browser, &app, &ada).await;
    browser.read("#problem", "role `admin`").await;
    assert_eq!(browser.count("#scroll tbody tr").await, 0);
}
