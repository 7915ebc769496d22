//! A built-in tool: a Rust function with typed arguments.

use crate::error::Error;
use futures::FutureExt;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;
use threadline_model::ToolSpec;
use threadline_schema::ErrorCode;
use threadline_schema::chatkit::widget::WidgetRoot;
use threadline_schema::error::Failure;
use threadline_tools::{
    Tool, ToolContext, ToolError, ToolOutput, WidgetView, argument_problem, default_title, typed_tool_spec,
};

/// Tools that belong together: they work on the same data, a `D`.
pub(crate) struct ToolGroup<D> {
    /// Names of the tools. The agents file is checked against them, before there is a store.
    pub(crate) names: &'static [&'static str],
    /// Creates the tools.
    pub(crate) create: fn(&D) -> Vec<Arc<dyn Tool>>,
}

/// What the user reads about a call.
pub(crate) struct Titles {
    /// While it runs.
    pub(crate) running: String,
    /// After it succeeded.
    pub(crate) done: String,
}

impl Titles {
    pub(crate) fn new(running: impl Into<String>, done: impl Into<String>) -> Self {
        Self { running: running.into(), done: done.into() }
    }
}

type Handler<S, A> = for<'a> fn(&'a S, ToolContext<'a>, A) -> BoxFuture<'a, Result<Value, Error>>;
type CreateWidget = fn(&Value) -> Option<WidgetView>;
type UpdateWidget = fn(&Value, &mut WidgetRoot);

/// A tool with arguments of type `A`, whose function works on an `S`.
pub(crate) struct TypedTool<S, A> {
    name: &'static str,
    description: &'static str,
    state: S,
    titles: fn(&A) -> Titles,
    handler: Handler<S, A>,
    has_side_effects: bool,
    create_widget: CreateWidget,
    /// Name of the widget action that calls the tool, and how the widget shows the result.
    action: Option<(&'static str, UpdateWidget)>,
}

impl<S, A> TypedTool<S, A> {
    /// Creates a tool with side effects, without a widget, that users cannot call.
    pub(crate) fn new(
        name: &'static str,
        description: &'static str,
        state: S,
        titles: fn(&A) -> Titles,
        handler: Handler<S, A>,
    ) -> Self {
        let create_widget: CreateWidget = |_| None;
        Self { name, description, state, titles, handler, has_side_effects: true, create_widget, action: None }
    }

    /// Declares that the tool only reads.
    pub(crate) fn read_only(self) -> Self {
        Self { has_side_effects: false, ..self }
    }

    /// Shows the result as a widget.
    pub(crate) fn with_widget(self, create_widget: CreateWidget) -> Self {
        Self { create_widget, ..self }
    }

    /// Lets users call the tool with an action of a widget.
    pub(crate) fn with_action(self, name: &'static str, update_widget: UpdateWidget) -> Self {
        Self { action: Some((name, update_widget)), ..self }
    }

    fn tool_error(&self, error: Error) -> ToolError {
        let (public, log) = error.into_parts();
        if let Some(log) = log {
            tracing::error!(tool = self.name, error = %log, "tool call failed");
        }
        // The database did not answer: a change may have been committed all the same.
        if self.has_side_effects && public.code == ErrorCode::ServiceUnavailable {
            return ToolError::OutcomeUnknown;
        }
        ToolError::Refused(Failure { code: public.code, message: public.message })
    }
}

impl<S, A> Tool for TypedTool<S, A>
where
    S: Send + Sync + 'static,
    A: DeserializeOwned + JsonSchema + Send + 'static,
{
    fn name(&self) -> &str {
        self.name
    }

    fn spec(&self) -> ToolSpec {
        typed_tool_spec::<A>(self.name, self.description)
    }

    fn title(&self, arguments: &Value, is_done: bool) -> String {
        match A::deserialize(arguments) {
            Ok(arguments) => {
                let Titles { running, done } = (self.titles)(&arguments);
                if is_done { done } else { running }
            }
            Err(_) => default_title(self.name),
        }
    }

    fn has_side_effects(&self) -> bool {
        self.has_side_effects
    }

    fn action_name(&self) -> Option<&str> {
        self.action.map(|(name, _)| name)
    }

    fn check_arguments(&self, arguments: &Value) -> Result<(), String> {
        A::deserialize(arguments).map(drop).map_err(|error| {
            let problem = argument_problem(&self.spec(), arguments);
            problem.unwrap_or_else(|| error.to_string())
        })
    }

    fn split_widget(&self, result: Value) -> (Value, Option<WidgetView>) {
        let widget = (self.create_widget)(&result);
        (result, widget)
    }

    fn update_widget(&self, result: &Value, widget: &mut WidgetRoot) {
        if let Some((_, update_widget)) = self.action {
            update_widget(result, widget);
        }
    }

    fn call<'a>(&'a self, context: ToolContext<'a>, arguments: Value) -> BoxFuture<'a, Result<ToolOutput, ToolError>> {
        async move {
            let arguments =
                A::deserialize(&arguments).map_err(|error| ToolError::Failed(format!("Bad arguments: {error}.")))?;
            let result = (self.handler)(&self.state, context, arguments).await;
            result.map(ToolOutput::from).map_err(|error| self.tool_error(error))
        }
        .boxed()
    }
}
