//! The interactive API reference.

use super::driver::{Browser, ENTER, TAB, browser};
use super::page::check;
use crate::support::{Setup, eventually};
use serde_json::{Value, json};
use threadline_test_requirements::Requirement;

/// The viewer draws in its shadow tree.
const ROOT: &str = "const root = document.querySelector('openapi-explorer')?.shadowRoot;
                    const all = (css) => [...(root?.querySelectorAll(css) ?? [])];";

/// Returns what the policy of the page has refused until now. The last entry is what this script tries itself.
const VIOLATIONS: &str = "const done = arguments[0];
    const found = [];
    new ReportingObserver((reports) => {
      found.push(...reports.map(({ body }) => `${body.effectiveDirective} ${body.blockedURL}`));
      if (found.some((report) => report.includes('elsewhere.invalid'))) done(found);
    }, { types: ['csp-violation'], buffered: true }).observe();
    setTimeout(() => fetch('http://elsewhere.invalid/').catch(() => {}), 100);
    setTimeout(() => done(['nothing was refused', ...found]), 5000);";

/// Whether the page is not wider than the window.
const FITS: &str = "return document.scrollingElement.scrollWidth <= innerWidth";

/// Adds a script to the page. Returns 1 if it ran.
const INJECTION: &str = "const script = document.createElementNS('http://www.w3.org/2000/svg', 'script');
    script.append('window.injected = 1');
    document.body.append(script);
    return window.injected ?? 0;";

/// Runs the body of a function that sees the elements of the viewer.
async fn run(browser: &Browser, script: &str) -> Value {
    browser.run(&format!("{ROOT} {script}")).await
}

async fn says(browser: &Browser, script: &str, text: &str) {
    eventually(&format!("the viewer says {text:?}"), || async {
        run(browser, script).await.as_str()?.contains(text).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_are_found_and_tried_out_under_a_strict_policy() {
    let Some(browser) = browser().await else { return };
    let app = Setup::new().await.start().await;
    browser.goto(&format!("http://{}/docs/api", app.rest)).await;
    says(&browser, "return all('.nav-bar-path').map((entry) => entry.textContent).join()", "Transcribe speech").await;

    run(
        &browser,
        "const [filter] = all('#nav-bar-search');
         filter.value = 'transcriptions';
         filter.dispatchEvent(new Event('input', { bubbles: true }));",
    )
    .await;
    eventually("the filter leaves one operation", || async {
        let shown =
            run(&browser, "return all('.nav-bar-path').filter((entry) => entry.checkVisibility()).length").await;
        (shown == 1).then_some(())
    })
    .await;

    eventually("the operation is in the list without the filter", || async {
        let script = "const [filter] = all('#nav-bar-search');
             filter.value = '';
             filter.dispatchEvent(new Event('input', { bubbles: true }));
             const entry = all('.nav-bar-path').find((entry) => entry.dataset.contentId === 'get-/health');
             entry?.click();
             return entry !== undefined;";
        (run(&browser, script).await == true).then_some(())
    })
    .await;
    eventually("the operation can be tried out", || async {
        let script = "const [button] = all('api-request .btn-execute'); button?.click(); return button !== undefined;";
        (run(&browser, script).await == true).then_some(())
    })
    .await;
    says(&browser, "return all('api-request').map((entry) => entry.textContent).join()", "OK (200)").await;

    let loaded = browser.run("return performance.getEntriesByType('resource').map(({ name }) => name)").await;
    let loaded: Vec<&str> = loaded.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let own = format!("http://{}/", app.rest);
    assert!(loaded.len() >= 5 && loaded.iter().all(|url| url.starts_with(&own)), "{loaded:?}");
    let violations = browser.client.execute_async(VIOLATIONS, Vec::new()).await.unwrap();
    assert_eq!(violations, json!(["connect-src http://elsewhere.invalid/"]));
    assert_eq!(browser.run(INJECTION).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_can_read_the_references_also_on_a_phone_and_in_the_dark() {
    let Some(axe) = Requirement::Axe.find() else { return };
    let axe = std::fs::read_to_string(axe).expect("TEST_AXE is the path of axe.min.js");
    let Some(browser) = browser().await else { return };
    let app = Setup::new().await.start().await;
    for (width, height, is_dark) in [(1100, 900, false), (1100, 900, true), (390, 800, false), (390, 800, true)] {
        browser.client.set_window_size(width, height).await.unwrap();
        browser.set_dark(is_dark).await;
        let what = |page: &str| format!("{page} at {width}, dark: {is_dark}");
        browser.goto(&format!("http://{}/docs", app.rest)).await;
        check(&browser, &axe, &what("/docs")).await;
        assert!(browser.run(FITS).await == true, "{} is wider than the window", what("/docs"));

        browser.goto(&format!("http://{}/docs/api", app.rest)).await;
        open_operation(&browser, width < 768).await;
        check(&browser, &axe, &what("/docs/api")).await;
        assert!(browser.run(FITS).await == true, "{} is wider than the window", what("/docs/api"));
    }
}

/// Opens an operation: on a phone with the keyboard, its group first.
async fn open_operation(browser: &Browser, is_phone: bool) {
    const OPERATION: &str =
        "all('.nav-bar-path').find((entry) => entry.dataset.contentId === 'post-/api/v1/auth/login')";
    if is_phone {
        for head in ["section-tag-header", "endpoint-head"] {
            eventually("there is something to open", || async {
                (run(browser, &format!("return all('.{head}').length > 0")).await == true).then_some(())
            })
            .await;
            let is_at_head = format!("return root.activeElement?.classList.contains('{head}') ?? false");
            eventually("a head has the focus", || async {
                browser.press(TAB).await;
                (run(browser, &is_at_head).await == true).then_some(())
            })
            .await;
            browser.press(ENTER).await;
            let is_open = "return root.activeElement?.ariaExpanded ?? null";
            eventually("it is open", || async { (run(browser, is_open).await == "true").then_some(()) }).await;
        }
    } else {
        eventually("the operation is in the list", || async {
            let script = format!("const entry = {OPERATION}; entry?.click(); return entry !== undefined;");
            (run(browser, &script).await == true).then_some(())
        })
        .await;
    }
    eventually("the operation can be tried out", || async {
        (run(browser, "return all('api-request').length > 0").await == true).then_some(())
    })
    .await;
}
