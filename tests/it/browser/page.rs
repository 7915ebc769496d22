//! The chat page around its messages: other clients, lost connections, limits, search, and people who cannot see it.

use super::driver::{ENTER, ESCAPE, TAB};
use super::{answer, newcomer, newcomer_at, say};
use crate::support::relay::Relay;
use crate::support::{Gate, Script, Setup, Upstream, eventually};
use serde_json::{Value, json};
use threadline_test_requirements::Requirement;
use uuid::Uuid;

/// Returns the id of the conversation that the page shows.
async fn shown(browser: &super::Browser) -> Uuid {
    let id = browser.run("return location.hash.slice(1)").await;
    id.as_str().and_then(|id| id.parse().ok()).expect("a conversation is shown")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_other_clients_do_is_shown_at_once() {
    let upstream = Upstream::start().await;
    let gate = Gate::closed();
    upstream.queue(Script::says(&["First"]));
    upstream.queue(Script::stream().words(&["Once"]).stop(&gate).words(&[" upon a time"]).done("stop"));
    let app = Setup::new().await.upstream(&upstream).start().await;
    let Some((browser, user)) = newcomer(&app).await else { return };
    say(&browser, "From the page").await;
    assert_eq!(answer(&browser).await, "First");
    let session = shown(&browser).await;
    let other = tokio::spawn({
        let user = user.clone();
        async move { user.say(session, "From elsewhere").await }
    });
    browser.read(".item:nth-child(3).user_message", "From elsewhere").await;
    browser.read(".item:nth-child(4).growing .text", "Once").await;
    browser.see("#stop").await;
    gate.open();
    assert_eq!(answer(&browser).await, "Once upon a time");
    other.await.unwrap();
    browser.see("#send").await;
    user.rpc_ok("threads.update", json!({"thread_id": session, "title": "A new title"})).await;
    browser.read("#title", "A new title").await;
    browser.read("#threads .current", "A new title").await;

    browser.click("[aria-label='Good answer']").await;
    browser.see("[aria-label='Good answer'][aria-pressed=true]").await;
    browser.client.refresh().await.unwrap();
    browser.see("[aria-label='Good answer'][aria-pressed=true]").await;
    assert_eq!(browser.count("[aria-pressed=true]").await, 1, "the other answer was not rated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_connects_again_and_misses_nothing() {
    let upstream = Upstream::start().await;
    let gate = Gate::closed();
    upstream.queue(Script::stream().words(&["Half"]).stop(&gate).words(&[" and half"]).done("stop"));
    upstream.queue(Script::says(&["Meanwhile"]));
    let app = Setup::new().await.upstream(&upstream).with("CHATKIT_CANCEL_GRACE_MS", 600_000).start().await;
    let relay = Relay::before(app.rest.clone()).await;
    let Some((browser, user)) = newcomer_at(&relay.address().to_string(), &app).await else { return };
    say(&browser, "A story").await;
    browser.read(".assistant_message.growing .text", "Half").await;
    let session = shown(&browser).await;
    relay.cut();
    browser.read("#status", "The connection is lost").await;
    gate.open();
    eventually("the answer is complete", || async {
        user.history(session).await.to_string().contains("Half and half").then_some(())
    })
    .await;
    user.say(session, "Are you there?").await;
    relay.mend();
    browser.read(".item:nth-child(4).assistant_message .text", "Meanwhile").await;
    browser.read(".item:nth-child(2).assistant_message:not(.growing) .text", "Half and half").await;
    browser.see("#log[aria-busy=false]").await;
    assert_eq!((browser.count(".item").await, browser.count(".notice").await), (4, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_too_long_is_not_sent_and_an_old_one_can_be_edited() {
    let app = Setup::new().await.with("MAX_MESSAGE_CHARS", 20).start().await;
    let Some((browser, _)) = newcomer(&app).await else { return };
    browser.write("#message", "This message has 27 letters").await;
    browser.read("#counter", "27 of 20 characters").await;
    assert!(!browser.see("#send").await.is_enabled().await.unwrap());
    browser.see("#message").await.clear().await.unwrap();
    say(&browser, "Hello").await;
    answer(&browser).await;
    browser.click(".user_message [aria-label='Edit and send again']").await;
    assert_eq!(browser.run("return document.querySelector('#message').value").await, "Hello");
    say(&browser, " again").await;
    browser.read(".item:nth-child(3).user_message", "Hello again").await;

    let written = "return document.querySelector('#message').value";
    browser.see("#send[disabled]").await;
    browser.write("#message", "A draft").await;
    browser.click(".user_message [aria-label='Edit and send again']").await;
    assert_eq!(browser.run(written).await, "Hello");
    browser.see("#message").await.send_keys(&"\u{E003}".repeat(5)).await.unwrap();
    assert_eq!(browser.run(written).await, "A draft", "removing the old message brings the draft back");
    browser.click(".user_message [aria-label='Edit and send again']").await;
    say(&browser, " 3").await;
    browser.read(".item:nth-child(5).user_message", "Hello 3").await;
    assert_eq!(browser.run(written).await, "A draft", "sending it too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversations_are_found_by_the_words_of_their_titles() {
    let app =
        Setup::new().await.with("MAX_SESSIONS_PER_USER", 0).with("RATE_LIMIT_REQUESTS_PER_MINUTE", 0).start().await;
    let Some((browser, user)) = newcomer(&app).await else { return };
    for number in 0..120 {
        let session = user.session().await;
        let title = if number == 0 { "The oldest of all".to_owned() } else { format!("Number {number}") };
        user.rpc_ok("threads.update", json!({"thread_id": session, "title": title})).await;
    }
    browser.client.refresh().await.unwrap();
    browser.see("#more-threads").await;
    assert_eq!(browser.count("#threads li").await, 100);
    browser.write("#search", "ALL oldest").await;
    browser.read("#threads li:only-child", "The oldest of all").await;
    browser.write("#search", "x").await;
    browser.read("#no-threads", "No conversation").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_stops_after_some_pages_says_so_and_goes_on_when_asked() {
    let app =
        Setup::new().await.with("MAX_SESSIONS_PER_USER", 0).with("RATE_LIMIT_REQUESTS_PER_MINUTE", 0).start().await;
    let Some((browser, user)) = newcomer(&app).await else { return };
    let oldest = user.session().await;
    user.rpc_ok("threads.update", json!({"thread_id": oldest, "title": "The oldest of all"})).await;
    for _ in 0..620 {
        user.session().await;
    }
    browser.client.refresh().await.unwrap();
    browser.read("#more-threads", "Show more").await;
    browser.write("#search", "oldest").await;
    browser.read("#no-threads", "None of the newest 500 conversations").await;
    let asked =
        "return performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('/chatkit')).length";
    assert_eq!(browser.run(asked).await, 5, "one for the first page, and four for the search");
    browser.read("#more-threads", "Search older conversations").await;
    browser.click("#more-threads").await;
    browser.read("#threads li:only-child", "The oldest of all").await;
    assert_eq!(browser.count("#no-threads:not([hidden]), #more-threads:not([hidden])").await, 0, "all were searched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nested_lists_code_and_right_to_left_text_are_shown_as_meant() {
    let said = "1. One\n   - inner\n2. Two\n\n```rust\nlet x: u32 = 4;\n```\n\n\u{645}\u{631}\u{62d}\u{628}\u{627}\n\n\
                | \u{645}\u{631}\u{62d}\u{628}\u{627} | b |\n|---|---|\n| c | d |\n\n\
                - \u{645}\u{631}\u{62d}\u{628}\u{627}\n\n- two\n\n> \u{645}\u{631}\u{62d}\u{628}\u{627}\n\n\
                | a | \u{645}\u{631}\u{62d}\u{628}\u{627} |\n|---|---|\n| c | d |\n\n\
                ![spy](https://example.com/x.png)";
    let upstream = Upstream::start().await;
    upstream.queue(Script::says(&[said]));
    let app = Setup::new().await.upstream(&upstream).start().await;
    let Some((browser, _)) = newcomer(&app).await else { return };
    say(&browser, "Show me").await;
    answer(&browser).await;
    assert_eq!(browser.count(".formatted ol > li > ul > li").await, 1);
    browser.read(".code .hljs-keyword", "let").await;
    browser.read(".code-head", "rust").await;
    browser.click("[aria-label='Copy code']").await;
    browser.see("[aria-label='Copied']").await;
    let direction = "return getComputedStyle(document.querySelector('.formatted > p')).direction";
    assert_eq!(browser.run(direction).await, "rtl");
    let directions = "return [...document.querySelectorAll('.formatted > :is(ol, ul, blockquote), .formatted > .table table')]\
                      .map((block) => `${block.localName} ${getComputedStyle(block).direction}`)";
    let expected = json!(["ol ltr", "table rtl", "ul rtl", "blockquote rtl", "table ltr"]);
    assert_eq!(browser.run(directions).await, expected, "each block goes in the direction of its first words");
    assert_eq!(browser.count(".formatted img").await, 0, "an image would tell its server that the text was read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn formulas_are_drawn_and_stay_harmless() {
    let said = "Euler: $e^{i\\pi}+1=0$, and \\(a_1*b*c\\). It costs $5, or $10.\n\n\
                $$\n\\frac{1}{2}\n- 3\n$$\n\n\
                Wrong: $\\href{javascript:alert(1)}{x}$ $\\def\\a{\\a\\a}\\a$ $\\includegraphics{https://example.com/x.png}$";
    let upstream = Upstream::start().await;
    upstream.queue(Script::says(&[said]));
    let app = Setup::new().await.upstream(&upstream).start().await;
    let Some((browser, _)) = newcomer(&app).await else { return };
    assert_eq!(
        browser.run("return performance.getEntriesByName(new URL('chat/temml.js', location).href).length").await,
        0
    );
    say(&browser, "Show me").await;
    answer(&browser).await;
    browser.see(".math.block math mfrac").await;
    eventually("all that are right", || async { (browser.count(".math > math").await == 3).then_some(()) }).await;
    browser.read(".formatted > p", "It costs $5, or $10.").await;
    assert_eq!(browser.count(".math.wrong").await, 3, "what a formula may not do stays text");
    assert_eq!(browser.count(".formatted :is(a, img)").await, 0);
}

/// Checks the page as it is now. `axe` is the source of axe-core, a checker of accessibility.
pub async fn check(browser: &super::Browser, axe: &str, what: &str) {
    browser.client.execute(axe, Vec::new()).await.expect("axe-core");
    let script = "const done = arguments[0]; axe.run().then(({ violations }) => done(violations.map(({ id, nodes }) => \
                  `${id}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`)))";
    let violations: Value = browser.client.execute_async(script, Vec::new()).await.expect("a result");
    assert_eq!(violations, json!([]), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_can_use_the_page_also_on_a_phone() {
    let Some(axe) = Requirement::Axe.find() else { return };
    let axe = std::fs::read_to_string(axe).expect("TEST_AXE is the path of axe.min.js");
    let upstream = Upstream::start().await;
    let table =
        "# Plan\n\n| Fruit | Price |\n|---|--:|\n| Apple | 3 |\n\n> quote\n\n```rust\n// greet\nlet x = \"a\";\n```\n";
    upstream.queue(Script::says(&[table])).queue(Script::fails(400, &json!({"error": "no"})));
    let app = Setup::new().await.upstream(&upstream).start().await;
    let Some((browser, _)) = newcomer(&app).await else { return };
    for (width, height) in [(1100, 900), (390, 800)] {
        browser.client.set_window_size(width, height).await.unwrap();
        check(&browser, &axe, "a new conversation").await;
    }
    say(&browser, "A plan").await;
    answer(&browser).await;
    check(&browser, &axe, "an answer").await;
    say(&browser, "Fail").await;
    browser.see(".notice.danger").await;
    check(&browser, &axe, "a failed answer").await;
    browser.client.refresh().await.unwrap();
    browser.see("#unanswered button").await;
    check(&browser, &axe, "a missing answer").await;
    browser.click("#toggle-sidebar").await;
    browser.see("#sidebar.open").await;
    check(&browser, &axe, "the open sidebar").await;
    assert!(browser.run("return document.scrollingElement.scrollWidth <= innerWidth").await == true);
    browser.client.set_window_size(1100, 900).await.unwrap();
    browser.click("#sign-out").await;
    browser.see("#entrance").await;
    check(&browser, &axe, "the form to sign in").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_on_a_phone_is_opened_used_and_left_with_the_keyboard() {
    let app = Setup::new().await.start().await;
    let Some((browser, _)) = newcomer(&app).await else { return };
    eventually("the page is ready", || async { (browser.focus().await == "message").then_some(()) }).await;
    browser.client.set_window_size(390, 800).await.unwrap();
    let open = || async { browser.count("#sidebar.open").await == 1 };
    browser.write("#toggle-sidebar", &ENTER.to_string()).await;
    assert_eq!((open().await, browser.focus().await.as_str()), (true, "new-chat"));
    browser.press(ESCAPE).await;
    assert_eq!((open().await, browser.focus().await.as_str()), (false, "toggle-sidebar"));

    browser.press(ENTER).await;
    browser.run("document.activeElement.blur()").await;
    browser.press(ESCAPE).await;
    assert_eq!((open().await, browser.focus().await.as_str()), (false, "toggle-sidebar"));

    browser.press(ENTER).await;
    for expected in ["search", "sign-out"] {
        browser.press(TAB).await;
        assert_eq!((open().await, browser.focus().await.as_str()), (true, expected));
    }
    browser.press(TAB).await;
    assert_eq!(
        (open().await, browser.focus().await.as_str()),
        (false, "toggle-sidebar"),
        "nothing covers what has the focus"
    );
}
