//! A real browser: the chat page, and pages of other origins.

mod answers;
mod console;
mod driver;
mod origins;
mod page;
mod reference;
mod talk;

use crate::support::{App, Client};
use driver::{Browser, browser};
use fantoccini::Locator;

/// Starts a browser and registers a new user on the chat page. Returns the browser, and a client of the same user;
/// `None` when there is no browser.
async fn newcomer(app: &App) -> Option<(Browser, Client)> {
    newcomer_at(&app.rest, app).await
}

/// The same, with the page at another address than that of the service.
async fn newcomer_at(address: &str, app: &App) -> Option<(Browser, Client)> {
    let browser = browser().await?;
    browser.goto(&format!("http://{address}/chat")).await;
    browser.write("#email", &format!("{}@example.com", uuid::Uuid::new_v4().simple())).await;
    browser.write("#password", crate::support::client::PASSWORD).await;
    browser.click("#sign-in button[value=register]").await;
    browser.see("#welcome").await;
    let token = browser.run("return sessionStorage.getItem('threadline.token')").await;
    let user = app.anonymous().with_token(token.as_str().expect("a token"));
    Some((browser, user))
}

/// Sends a message with the keyboard.
async fn say(browser: &Browser, text: &str) {
    browser.write("#message", &format!("{text}{}", driver::ENTER)).await;
}

/// Waits until the response is complete. Returns it.
async fn answer(browser: &Browser) -> String {
    browser.see("#log[aria-busy=false] .assistant_message:not(.growing)").await;
    let messages = browser.client.find_all(Locator::Css(".assistant_message .text")).await.unwrap();
    messages.last().expect("an answer").text().await.unwrap()
}
