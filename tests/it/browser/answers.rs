//! The chat page while a response is streamed, word by word, controlled by the test.

use super::{answer, newcomer, say};
use crate::support::{Gate, Script, Setup, Upstream, eventually};
use serde_json::json;

/// Longer than any test: a run without a reader ends only when it is cancelled.
const GRACE_MS: u32 = 600_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_is_shown_while_it_is_streamed_and_after_a_reload() {
    let upstream = Upstream::start().await;
    let gates = [Gate::closed(), Gate::closed()];
    let script = Script::stream().words(&["Once"]).stop(&gates[0]).words(&[" upon"]).stop(&gates[1]);
    upstream.queue(script.words(&[" a time"]).done("stop"));
    let app = Setup::new().await.upstream(&upstream).with("CHATKIT_CANCEL_GRACE_MS", GRACE_MS).start().await;
    let Some((browser, _)) = newcomer(&app).await else { return };
    say(&browser, "A story").await;
    browser.read(".assistant_message.growing .text", "Once").await;
    browser.client.refresh().await.unwrap();
    browser.read(".assistant_message.growing .text", "Once").await;
    browser.see("#stop").await;
    gates[0].open();
    browser.read(".assistant_message.growing .text", "Once upon").await;
    gates[1].open();
    assert_eq!(answer(&browser).await, "Once upon a time");
    browser.see("#send").await;
    assert_eq!((browser.count(".item").await, upstream.aborted()), (2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_cancelled_rated_and_retried() {
    let upstream = Upstream::start().await;
    upstream.queue(Script::stream().words(&["Once"]).hang()).queue(Script::says(&["Twice"]));
    upstream.queue(Script::fails(400, &json!({"error": "no"}))).queue(Script::says(&["Thrice"]));
    let app = Setup::new().await.upstream(&upstream).with("CHATKIT_CANCEL_GRACE_MS", GRACE_MS).start().await;
    let Some((browser, user)) = newcomer(&app).await else { return };
    say(&browser, "A story").await;
    browser.read(".assistant_message .text", "Once").await;
    browser.click("#stop").await;
    browser.read(".notice", "You stopped this answer.").await;
    eventually("the model is not listened to any more", || async { (upstream.aborted() == 1).then_some(()) }).await;
    assert_eq!(answer(&browser).await, "Once");

    browser.click("[aria-label='Answer again']").await;
    browser.read(".assistant_message .text", "Twice").await;
    assert_eq!(answer(&browser).await, "Twice");
    assert_eq!(browser.count(".assistant_message").await, 1, "the old answer is gone");

    browser.click("[aria-label='Good answer']").await;
    browser.see("[aria-label='Good answer'][aria-pressed=true]").await;
    let thread = browser.run("return location.hash.slice(1)").await;
    let rated = user.get(&format!("/api/v1/chatkit/sessions/{}/feedback", thread.as_str().unwrap())).await;
    assert_eq!(rated.data()[0]["kind"], "positive");

    say(&browser, "Another").await;
    browser.see(".notice.danger").await;
    browser.click(".notice.danger button").await;
    browser.see(".item:nth-child(4).assistant_message").await;
    assert_eq!(answer(&browser).await, "Thrice");
    assert_eq!(browser.count(".notice").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_answer_can_be_tried_again_also_after_a_reload() {
    let upstream = Upstream::start().await;
    let gate = Gate::closed();
    upstream.queue(Script::fails(400, &json!({"error": "no"})));
    upstream.queue(Script::stream().stop(&gate).words(&["Once"]).done("stop"));
    let app = Setup::new().await.upstream(&upstream).with("CHATKIT_CANCEL_GRACE_MS", GRACE_MS).start().await;
    let Some((browser, _)) = newcomer(&app).await else { return };
    say(&browser, "A story").await;
    browser.see(".notice.danger button").await;
    assert_eq!(browser.count("#unanswered button").await, 0, "said once");
    browser.client.refresh().await.unwrap();
    browser.read("#unanswered", "There is no answer to this.").await;
    browser.click("#unanswered button").await;
    browser.see("#stop").await;
    assert_eq!(browser.count("#unanswered button").await, 0);
    browser.client.refresh().await.unwrap();
    browser.see("#stop").await;
    assert_eq!(browser.count("#unanswered button").await, 0, "the answer may still come");
    gate.open();
    assert_eq!(answer(&browser).await, "Once");
    assert_eq!((browser.count(".user_message").await, browser.count("#unanswered button").await), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markdown_is_formatted_while_it_is_streamed() {
    let upstream = Upstream::start().await;
    let gate = Gate::closed();
    let script = Script::stream().words(&["# Lis", "t\n- **one**\n- `two`\n\n[odd](javascript:alert(1)) "]).stop(&gate);
    upstream.queue(script.words(&["[good](https://example.com/)\n```\na < b\n", "```\nend"]).done("stop"));
    let app = Setup::new().await.upstream(&upstream).start().await;
    let Some((browser, _)) = newcomer(&app).await else { return };
    say(&browser, "A list").await;
    browser.read(".assistant_message.growing li code", "two").await;
    gate.open();
    assert_eq!(answer(&browser).await, "List\none\ntwo\n[odd](javascript:alert(1)) good\na < b\nend");
    let shape = "return [...document.querySelector('.formatted').children].map((block) => block.localName).join()";
    assert_eq!(browser.run(shape).await, "h3,ul,p,div,p");
    let links = "return [...document.querySelectorAll('#log a')].map((link) => link.href).join()";
    assert_eq!(browser.run(links).await, "https://example.com/");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_stays_text() {
    const MARKUP: &str = "<img src=x onerror=\"document.title='x'\"><b>bold</b><script>document.title='x'</script>";
    let upstream = Upstream::start().await;
    upstream.queue(Script::says(&[MARKUP]));
    let app = Setup::new().await.upstream(&upstream).start().await;
    let Some((browser, _)) = newcomer(&app).await else { return };
    say(&browser, MARKUP).await;
    assert_eq!(answer(&browser).await, MARKUP);
    browser.read(".user_message .text", MARKUP).await;
    browser.read("#threads", MARKUP).await;
    assert_eq!(browser.count("#log img, #log b, #log script, #threads b").await, 0);
    assert_eq!(browser.client.title().await.unwrap(), "Threadline");
    // Even if code of the page tries.
    let tried = "try { document.body.innerHTML = '<b>x</b>'; return 'done' } catch (error) { return error.name }";
    assert_eq!(browser.run(tried).await, "TypeError");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_shown_as_one_and_its_text_stays_text() {
    let upstream = Upstream::start().await;
    let gate = Gate::closed();
    let head = ["Prices:\n| Fruit | Pr", "ice |\n|:---", "|---:|\n| *Apple* |"];
    let script = Script::stream().words(&head).stop(&gate);
    let rest = [" 1 \\| 2 | 3 |\n| <b>x</b> |\nPear | `2`\n\nNo table: a | b\n\na | b\n---|---|---\n"];
    upstream.queue(script.words(&rest).done("stop"));
    let app = Setup::new().await.upstream(&upstream).start().await;
    let Some((browser, _)) = newcomer(&app).await else { return };
    say(&browser, "A table").await;
    browser.read(".assistant_message.growing td em", "Apple").await;
    gate.open();
    answer(&browser).await;
    let shape = "return [...document.querySelector('.formatted').children].map((block) => block.localName).join()";
    assert_eq!(browser.run(shape).await, "p,div,p,p");
    let cells = "return [...document.querySelectorAll('.formatted tr')].map((row) => \
                 [...row.children].map((cell) => cell.localName + ':' + cell.style.textAlign + ':' + cell.innerText))";
    let expected = json!([
        ["th:start:Fruit", "th:end:Price"],
        ["td:start:Apple", "td:end:1 | 2"],
        ["td:start:<b>x</b>", "td:end:"],
        ["td:start:Pear", "td:end:2"],
    ]);
    assert_eq!(browser.run(cells).await, expected);
    assert_eq!(browser.count(".formatted b").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_lines_and_wide_tables_do_not_make_the_page_wider() {
    let long = "x".repeat(3_000);
    let wide = format!("|{}\n|{}\n|{}", "head|".repeat(60), "-|".repeat(60), "cell|".repeat(60));
    let said = format!(
        "{long}\n\n# {long}\n\n- {long}\n\n> {long}\n\n`{}`\n\nhttps://example.com/{long}\n\n```\n{long}\n```\n\n{wide}",
        &long[..900]
    );
    let upstream = Upstream::start().await;
    upstream.queue(Script::says(&[&said]));
    let app = Setup::new().await.upstream(&upstream).start().await;
    let Some((browser, _)) = newcomer(&app).await else { return };
    say(&browser, &"y".repeat(400)).await;
    answer(&browser).await;
    browser.see(".formatted table").await;
    let overflow = "const wide = [document.scrollingElement, ...document.querySelectorAll('main, #log, .item, .text')]; \
                    return wide.filter((node) => node.scrollWidth > node.clientWidth + 1).map((node) => node.className)";
    assert_eq!(browser.run(overflow).await, json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_composer_is_small_again_after_a_refusal() {
    let app = Setup::new().await.with("MAX_MESSAGE_CHARS", 0).with("MAX_SESSIONS_PER_USER", 1).start().await;
    let Some((browser, user)) = newcomer(&app).await else { return };
    // The page itself asks for a second one.
    user.session().await;
    let height = "return document.querySelector('#message').offsetHeight";
    let before = browser.run(height).await.as_u64().unwrap();
    let fill = "const text = document.querySelector('#message'); text.value = 'a line\\n'.repeat(100); \
                text.dispatchEvent(new Event('input')); return text.offsetHeight";
    assert!(browser.run(fill).await.as_u64().unwrap() > 3 * before);
    browser.click("#send").await;
    browser.read("#alert", "sessions allowed").await;
    assert_eq!(browser.run(height).await.as_u64().unwrap(), before);
    let kept = "return document.querySelector('#message').value.length";
    assert_eq!(browser.run(kept).await, 700, "what was written is not lost");
    browser.click("#message").await;
    assert!(browser.run(height).await.as_u64().unwrap() > 3 * before, "whoever writes on sees the text");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incomplete_answer_says_so_and_can_be_continued() {
    let upstream = Upstream::start().await;
    upstream.queue(Script::stream().words(&["Once upon"]).done("length"));
    upstream.queue(Script::says(&["a time"]));
    let app = Setup::new().await.upstream(&upstream).start().await;
    let Some((browser, _)) = newcomer(&app).await else { return };
    say(&browser, "A story").await;
    browser.read(".incomplete span", "This answer is incomplete: it reached the length limit.").await;
    assert_eq!(browser.count(".notice").await, 1, "said once");
    browser.see("#send").await;
    browser.client.refresh().await.unwrap();
    browser.click(".incomplete button").await;
    browser.read(".item:nth-child(3).user_message .text", "Continue").await;
    browser.read(".item:nth-child(4).assistant_message .text", "a time").await;
    let sent = upstream.requests()[1]["messages"].clone();
    assert_eq!(sent[3], json!({"role": "user", "content": "Continue"}));
    assert_eq!(sent[2], json!({"role": "assistant", "content": "Once upon"}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_approved_edited_and_refused() {
    let upstream = Upstream::start().await;
    let asks = || upstream.queue(Script::calls(&[("add_task", json!({"title": "Milk"}))]));
    let file = "[agents.a]\napproval = { add_task = \"always\" }\n";
    let app = Setup::new().await.upstream(&upstream).agents(file).start().await;
    let Some((browser, user)) = newcomer(&app).await else { return };
    let titles = || async {
        let tasks = user.get("/api/v1/tasks").await;
        tasks
            .data()
            .as_array()
            .unwrap()
            .iter()
            .map(|task| task["title"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    asks();
    say(&browser, "Add milk").await;
    browser.read(".approval strong", "Call add_task?").await;
    browser.read(".approval .arguments", "\"title\": \"Milk\"").await;
    browser.see("#log[aria-busy=false]").await;
    browser.client.refresh().await.unwrap();
    browser.click(".approval [data-decision=edit]").await;
    browser.run("document.querySelector('.approval textarea').value = '{\"title\": \"Tea\"}'").await;
    browser.click(".approval [data-decision=send_edited]").await;
    browser.read(".approval .outcome", "You changed the arguments and approved this call.").await;
    answer(&browser).await;
    assert_eq!(titles().await, ["Tea"]);

    asks();
    say(&browser, "Add milk").await;
    browser.click(".approval [data-decision=refuse]").await;
    browser.see(".item:last-child.assistant_message").await;
    answer(&browser).await;
    assert_eq!(titles().await, ["Tea"]);

    asks();
    say(&browser, "Add milk").await;
    browser.click(".approval [data-decision=approve_always]").await;
    browser.see(".item:last-child.assistant_message").await;
    answer(&browser).await;
    asks();
    say(&browser, "Add milk").await;
    eventually("nobody is asked", || async { (titles().await.len() == 3).then_some(()) }).await;
    assert_eq!(browser.count(".approval [data-decision=approve]").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_temporary_conversation_is_not_listed() {
    let app = Setup::new().await.start().await;
    let Some((browser, user)) = newcomer(&app).await else { return };
    browser.click("#temporary").await;
    say(&browser, "hello").await;
    answer(&browser).await;
    assert_eq!(browser.count("#threads li").await, 0);
    let thread = browser.run("return location.hash.slice(1)").await;
    let path = format!("/api/v1/chatkit/sessions/{}", thread.as_str().unwrap());
    assert_eq!(user.get(&path).await.data()["temporary"], true);
    // The address finds it as long as it exists.
    browser.client.refresh().await.unwrap();
    answer(&browser).await;
    assert_eq!(browser.count("#threads li").await, 0);
}
