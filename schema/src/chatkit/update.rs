//! Updates of an item while it is streamed.

use super::widget::{WidgetComponent, WidgetRoot};
use super::{Annotation, AssistantContent, GeneratedImage, WorkflowTask};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A change of an item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum ItemUpdate {
    /// A part was added to an assistant message.
    #[serde(rename = "assistant_message.content_part.added")]
    ContentPartAdded {
        /// Index of the part.
        content_index: u32,
        /// The part as it is now.
        content: AssistantContent,
    },
    // Written by `crate::text_delta`, which must agree with this.
    /// Text was appended to a part.
    #[serde(rename = "assistant_message.content_part.text_delta")]
    TextDelta {
        /// Index of the part.
        content_index: u32,
        /// The text to append.
        delta: String,
    },
    /// A reference to a source was added to a part.
    #[serde(rename = "assistant_message.content_part.annotation_added")]
    AnnotationAdded {
        /// Index of the part.
        content_index: u32,
        /// Index of the reference in the part.
        annotation_index: u32,
        /// The reference.
        annotation: Box<Annotation>,
    },
    /// A part is complete.
    #[serde(rename = "assistant_message.content_part.done")]
    ContentPartDone {
        /// Index of the part.
        content_index: u32,
        /// The part.
        content: AssistantContent,
    },
    /// Text was appended to a text of a widget.
    #[serde(rename = "widget.streaming_text.value_delta")]
    WidgetTextDelta {
        /// Id of the component.
        component_id: String,
        /// The text to append.
        delta: String,
        /// Whether the text is complete.
        done: bool,
    },
    /// A component of a widget changed.
    #[serde(rename = "widget.component.updated")]
    WidgetComponentUpdated {
        /// Id of the component.
        component_id: String,
        /// The new value.
        component: Box<WidgetComponent>,
    },
    /// A widget changed.
    #[serde(rename = "widget.root.updated")]
    WidgetRootUpdated {
        /// The new value.
        widget: Box<WidgetRoot>,
    },
    /// A task was added to a workflow.
    #[serde(rename = "workflow.task.added")]
    WorkflowTaskAdded {
        /// Index of the task.
        task_index: u32,
        /// The task.
        task: WorkflowTask,
    },
    /// A task of a workflow changed.
    #[serde(rename = "workflow.task.updated")]
    WorkflowTaskUpdated {
        /// Index of the task.
        task_index: u32,
        /// The task.
        task: WorkflowTask,
    },
    /// The generation of an image has made progress.
    #[serde(rename = "generated_image.updated")]
    GeneratedImageUpdated {
        /// The image as it is now.
        image: GeneratedImage,
        /// Progress, 0 to 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        progress: Option<f64>,
    },
}
