//! The wire types of ChatKit.
//!
//! Names and shapes are those of the protocol. Members that are null are omitted, like ChatKit's own server does. Types
//! that are stored keep unknown members in `extra`, so that nothing is lost that a later version of the protocol, or an
//! integration, has written. Events and updates do not need that: they are forwarded unparsed.

mod action;
mod attachment;
mod by_value;
mod event;
mod icon;
mod item;
mod message;
mod source;
mod structured_input;
mod thread;
mod update;
pub mod widget;
mod workflow;

pub use action::{Action, ActionConfig, Handler, LoadingBehavior};
pub use attachment::{Attachment, FileAttachment, ImageAttachment, UploadDescriptor, UploadMethod};
pub use event::{NoticeLevel, StreamErrorCode, StreamEvent, StreamOptions};
pub use icon::{IconName, LibraryIcon};
pub use item::{
    AssistantMessage, ClientToolCall, ClientToolCallStatus, EndOfTurn, FeedbackKind, GeneratedImage,
    GeneratedImageItem, HiddenContext, SdkHiddenContext, TaskItem, ThreadItem, UserMessage, WidgetItem, WorkflowItem,
};
pub use message::{AssistantContent, InferenceOptions, ToolChoice, UserContent, UserMessageInput};
pub use source::{Annotation, EntityPreview, EntitySource, FileSource, Source, UrlSource};
pub use structured_input::{
    ApprovalOutcome, StructuredInput, StructuredInputAnswer, StructuredInputFreeform, StructuredInputItem,
    StructuredInputMultipleChoice, StructuredInputOption, StructuredInputStatus, StructuredInputSubmission,
    SubmissionStatus, ToolApproval,
};
pub use thread::{Thread, ThreadStatus};
pub use update::ItemUpdate;
pub use workflow::{
    CustomTask, FileTask, ImageTask, SearchTask, StatusIndicator, ThoughtTask, Workflow, WorkflowKind, WorkflowSummary,
    WorkflowTask,
};

/// Members that this version does not know, kept as they were received.
pub type Extra = serde_json::Map<String, serde_json::Value>;
