//! The chat page with the demo model: the first steps of a new user.

use super::{answer, newcomer, say};
use crate::support::{Setup, eventually};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_user_registers_sends_a_message_and_uses_a_button() {
    let app = Setup::new().await.start().await;
    let Some((browser, user)) = newcomer(&app).await else { return };
    say(&browser, "Add task: Buy milk").await;
    assert!(answer(&browser).await.starts_with("Added \"Buy milk\"."));
    browser.read("#title", "Add task: Buy milk").await;
    browser.read("#threads .current", "Add task: Buy milk").await;
    browser.read(".workflow summary", "Added").await;

    say(&browser, "What is on my list?").await;
    browser.see(".widget button.list-row").await;
    answer(&browser).await;
    browser.click(".widget button.list-row").await;
    browser.read(".widget s", "Buy milk").await;
    assert_eq!(browser.count(".widget button.list-row").await, 0, "what is done cannot be done again");
    let tasks = user.get("/api/v1/tasks").await;
    assert_eq!((&tasks.data()[0]["title"], &tasks.data()[0]["completed"]), (&json!("Buy milk"), &json!(true)));

    browser.see("#log[aria-busy=false]").await;
    browser.client.refresh().await.unwrap();
    browser.read(".widget s", "Buy milk").await;
    assert_eq!(browser.count(".user_message").await, 2);
    browser.click("#new-chat").await;
    browser.see("#welcome").await;
    assert_eq!(browser.count(".item").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_attached_to_a_message() {
    // The server has another URL for itself than the one of the page.
    let app = Setup::new().await.with("PUBLIC_URL", "https://chat.invalid/base").start().await;
    let Some((browser, _)) = newcomer(&app).await else { return };
    let [list, picture, archive] = ["list.txt", "picture.png", "all.zip"].map(|name| browser.directory().join(name));
    std::fs::write(&list, "Eggs, flour and a lemon").unwrap();
    image::RgbImage::from_pixel(640, 400, image::Rgb([40, 90, 160])).save(&picture).unwrap();
    std::fs::write(&archive, "PK").unwrap();

    browser.choose("#attach", &list).await;
    browser.choose("#attach", &picture).await;
    browser.see("#files .uploaded:nth-child(2)").await;
    assert_eq!(browser.count("#files progress").await, 0);
    browser.choose("#attach", &archive).await;
    browser.read("#alert", "takes no attachments of type application/zip").await;
    eventually("the refused file is gone", || async { (browser.count("#files li").await == 2).then_some(()) }).await;

    say(&browser, "Look at this").await;
    let said = answer(&browser).await;
    assert!(said.contains("list.txt (text/plain), which begins: \"Eggs, flour and a lemon\""), "{said}");
    assert!(said.contains("picture.png (image/png)"), "{said}");
    assert_eq!(browser.count("#files li").await, 0);
    browser.read(".user_message .attachments", "list.txt").await;
    let width = "return document.querySelector('.user_message img').naturalWidth";
    eventually("the preview is shown", || async { (browser.run(width).await.as_u64()? > 0).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_are_answered_in_a_form() {
    let app = Setup::new().await.start().await;
    let Some((browser, _)) = newcomer(&app).await else { return };
    say(&browser, "Ask me about my week").await;
    browser.read(".questions", "What should I know about my week?").await;
    browser.write(".questions textarea", "It is full").await;
    browser.click(".questions input[value=high]").await;
    browser.see("#log[aria-busy=false]").await;
    browser.click(".questions button[type=submit]").await;
    let said = answer(&browser).await;
    assert!(said.contains("It is full") && said.contains("high"), "{said}");
    browser.read("dl.questions", "It is full").await;
    assert_eq!(browser.count("form.questions").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_widgets_are_shown_and_forms_send_their_values() {
    let app = Setup::new().await.start().await;
    let Some((browser, _)) = newcomer(&app).await else { return };
    let widget = json!({
        "type": "Card", "asForm": true,
        "confirm": {"label": "Order", "action": {"type": "order", "payload": {"table": 7}}},
        "children": [
            {"type": "Title", "value": "<b>Pizza</b>"},
            {"type": "Row", "children": [{"type": "Badge", "label": "New"}, {"type": "Icon", "name": "star"}]},
            {"type": "Chart", "data": [{"day": "Mon", "sold": 3}], "series": [{"type": "bar", "dataKey": "sold"}], "xAxis": "day"},
            {"type": "OfALaterVersion", "children": [{"type": "Text", "value": "still seen"}]},
            {"type": "Checkbox", "name": "cheese", "label": "Cheese", "defaultChecked": true},
            {"type": "Input", "name": "note", "defaultValue": "Hot"},
            {"type": "Image", "src": "javascript:alert(1)", "alt": "A pizza"},
        ],
    });
    let script = "const [widget, done] = arguments; import('./chat/widgets.js').then(({ drawWidget }) => {\
        const does = { act: (item, action) => done({ item: item.id, action, shown: root.innerText }) };\
        const root = drawWidget({ id: 'w1', widget }, does); document.querySelector('#log').append(root);\
        root.querySelector('.primary').click(); }, (error) => done(String(error)))";
    let told = browser.client.execute_async(script, vec![widget]).await.unwrap();
    let payload = json!({"table": 7, "cheese": "true", "note": "Hot"});
    assert_eq!((&told["item"], &told["action"]["payload"]), (&json!("w1"), &payload), "{told}");
    let shown = told["shown"].as_str().unwrap();
    for words in ["<b>Pizza</b>", "New", "Mon", "3", "still seen", "Cheese", "Order"] {
        assert!(shown.contains(words), "{words} in {shown}");
    }
}
