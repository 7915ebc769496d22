//! Updates: how an item grows while it is streamed.

use super::widget::{WidgetComponent, WidgetRoot};
use super::{Annotation, AssistantContent, GeneratedImage, WorkflowTask};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is new in an item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum ItemUpdate {
    /// An assistant message has a new part.
    #[serde(rename = "assistant_message.content_part.added")]
    ContentPartAdded {
        /// Index of the part.
        content_index: u32,
        /// The part so far.
        content: AssistantContent,
    },
    // Written by `crate::event::text_delta`, which must agree with this.
    /// A part has more text.
    #[serde(rename = "assistant_message.content_part.text_delta")]
    TextDelta {
        /// Index of the part.
        content_index: u32,
        /// What to append.
        delta: String,
    },
    /// A part refers to a source.
    #[serde(rename = "assistant_message.content_part.annotation_added")]
    AnnotationAdded {
        /// Index of the part.
        content_index: u32,
        /// Index of the reference in the part.
        annotation_index: u32,
        /// The reference.
        annotation: Box<Annotation>,
    },
    /// A part is whole.
    #[serde(rename = "assistant_message.content_part.done")]
    ContentPartDone {
        /// Index of the part.
        content_index: u32,
        /// The part.
        content: AssistantContent,
    },
    /// A text of a widget has more.
    #[serde(rename = "widget.streaming_text.value_delta")]
    WidgetTextDelta {
        /// Id of the component.
        component_id: String,
        /// What to append.
        delta: String,
        /// Whether that was the last of it.
        done: bool,
    },
    /// A component of a widget changed.
    #[serde(rename = "widget.component.updated")]
    WidgetComponentUpdated {
        /// Id of the component.
        component_id: String,
        /// What takes its place.
        component: Box<WidgetComponent>,
    },
    /// A widget changed.
    #[serde(rename = "widget.root.updated")]
    WidgetRootUpdated {
        /// What takes its place.
        widget: Box<WidgetRoot>,
    },
    /// A workflow has a new entry.
    #[serde(rename = "workflow.task.added")]
    WorkflowTaskAdded {
        /// Index of the entry.
        task_index: u32,
        /// The entry.
        task: WorkflowTask,
    },
    /// An entry of a workflow changed.
    #[serde(rename = "workflow.task.updated")]
    WorkflowTaskUpdated {
        /// Index of the entry.
        task_index: u32,
        /// The entry.
        task: WorkflowTask,
    },
    /// An image has come further.
    #[serde(rename = "generated_image.updated")]
    GeneratedImageUpdated {
        /// The image so far.
        image: GeneratedImage,
        /// How far it is, 0 to 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        progress: Option<f64>,
    },
}
