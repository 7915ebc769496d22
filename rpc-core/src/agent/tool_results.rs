//! Puts the results of tool calls into the prompt.

use crate::model::{AttachedFile, FileContent, Message, ToolCall};
use threadline_schema::ids::AttachmentId;
use threadline_tools::{ToolImage, ToolResult};

/// Maximum number of images from results in a prompt; the newest ones are shown.
const MAX_IMAGES: usize = 8;

/// Appends the results of these calls, and the images in them as a message of their own: the result of a tool is text.
pub(super) fn push(messages: &mut Vec<Message>, calls: Vec<ToolCall>, results: Vec<Option<ToolResult>>) {
    let mut images = Vec::new();
    for (call, result) in calls.into_iter().zip(results) {
        let (content, found) = result.map(|result| (result.content, result.images)).unwrap_or_default();
        let number = images.len();
        images.extend(
            found.into_iter().enumerate().map(|(index, image)| attached(&call.name, number + index + 1, image)),
        );
        messages.push(Message::Tool { call_id: call.id, content });
    }
    push_attached(messages, images);
}

/// Appends the images in the result of a call that is in the prompt already.
pub(super) fn push_images(messages: &mut Vec<Message>, tool: &str, images: Vec<ToolImage>) {
    let images = images.into_iter().enumerate().map(|(index, image)| attached(tool, index + 1, image));
    push_attached(messages, images.collect());
}

fn push_attached(messages: &mut Vec<Message>, images: Vec<AttachedFile>) {
    if !images.is_empty() {
        messages.push(Message::ToolImages(images));
        omit_older_images(messages);
    }
}

fn attached(tool: &str, number: usize, ToolImage { mime_type, data_url }: ToolImage) -> AttachedFile {
    AttachedFile {
        // No attachment of a user.
        id: AttachmentId::nil(),
        name: format!("image {number}, from {tool}"),
        mime_type: mime_type.to_owned(),
        content: FileContent::Image(data_url),
    }
}

fn omit_older_images(messages: &mut [Message]) {
    let files = messages.iter_mut().rev().filter_map(|message| match message {
        Message::ToolImages(images) => Some(images.iter_mut().rev()),
        _ => None,
    });
    let images = files.flatten().filter(|file| matches!(file.content, FileContent::Image(_)));
    for image in images.skip(MAX_IMAGES) {
        image.content = FileContent::Omitted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use threadline_tools::CallOutcome;

    fn call_with_images(messages: &mut Vec<Message>, count: usize) {
        let call =
            ToolCall { id: "c".to_owned(), name: "look".to_owned(), arguments: String::new(), ..ToolCall::default() };
        let result = ToolResult {
            content: "{}".to_owned(),
            images: (0..count).filter_map(|_| ToolImage::new("image/png", "QUJD")).collect(),
            failure: None,
            outcome: CallOutcome::Ok,
            widget: None,
            may_have_changed_data: false,
        };
        push(messages, vec![call], vec![Some(result)]);
    }

    #[test]
    fn images_follow_the_results_and_the_newest_are_shown() {
        let mut messages = Vec::new();
        call_with_images(&mut messages, 0);
        assert!(matches!(messages.as_slice(), [Message::Tool { .. }]));
        for _ in 0..5 {
            call_with_images(&mut messages, 3);
        }
        let shown: Vec<usize> = messages
            .iter()
            .filter_map(|message| match message {
                Message::ToolImages(images) => Some(images),
                _ => None,
            })
            .map(|files| files.iter().filter(|file| matches!(file.content, FileContent::Image(_))).count())
            .collect();
        assert_eq!(shown, [0, 0, 2, 3, 3]);
        assert!(matches!(messages.last(), Some(Message::ToolImages(images)) if images[0].name == "image 1, from look"));
    }
}
