"""The tools of the package's server: the same as ours, written as the package expects."""

import asyncio
from datetime import datetime

from agents import RunContextWrapper, function_tool
from chatkit.actions import ActionConfig
from chatkit.agents import AgentContext, ClientToolCall
from chatkit.store import default_generate_id
from chatkit.types import (
    CustomTask,
    StructuredInputFreeform,
    StructuredInputItem,
    StructuredInputMultipleChoice,
    StructuredInputMultipleChoiceOption,
    ThreadItemDoneEvent,
)
from chatkit.widgets import Icon, ListView, ListViewItem, Text
from pydantic import BaseModel

Context = RunContextWrapper[AgentContext]

COMPLETE = "tasks.complete"

# These end the run: the client or the user continues.
WAITING = ["get_location", "ask_user"]


class Question(BaseModel):
    question: str
    description: str | None = None
    options: list[str] = []
    multiple: bool = False

    def input(self, id):
        if not self.options:
            return StructuredInputFreeform(id=id, question=self.question, description=self.description)
        options = [StructuredInputMultipleChoiceOption(value=value) for value in self.options]
        return StructuredInputMultipleChoice(
            id=id, question=self.question, options=options, multiple=self.multiple
        )


class Tasks:
    """The to-do list."""

    def __init__(self):
        # Title and state by id, oldest first.
        self.tasks = {}

    def add(self, title):
        self.tasks[default_generate_id("task")] = (title, False)

    def complete(self, id):
        self.tasks[id] = (self.tasks[id][0], True)

    def widget(self):
        return ListView(limit="auto", children=[self.row(id) for id in reversed(self.tasks)])

    def row(self, id):
        title, completed = self.tasks[id]
        icon = Icon(name="check-circle-filled" if completed else "empty-circle")
        text = Text(value=title, lineThrough=True if completed else None)
        click = None if completed else ActionConfig(type=COMPLETE, payload={"task_id": id})
        return ListViewItem(key=id, children=[icon, text], onClickAction=click)

    def shown_done(self, widget, id):
        """Return a copy of a widget in which a task is done."""
        rows = [self.row(id) if row.key == id else row for row in widget.children]
        return widget.model_copy(update={"children": rows})


async def show_begin(ctx, title):
    """Show an active call. Return its index in the workflow."""
    workflow = ctx.context.workflow_item
    index = len(workflow.workflow.tasks) if workflow else 0
    await ctx.context.add_workflow_task(CustomTask(title=title, status_indicator="loading"))
    return index


async def show_end(ctx, index, title, widget=None):
    await ctx.context.update_workflow_task(CustomTask(title=title, status_indicator="complete"), index)
    if widget is not None:
        await ctx.context.stream_widget(widget)
    # Events of tools and text of the model reach the package over two queues. Only events that are consumed before the
    # next request to the model are certain to come before its text.
    while not ctx.context._events.empty():
        await asyncio.sleep(0)


def tools_of(tasks):
    @function_tool
    async def add_task(ctx: Context, title: str) -> str:
        index = await show_begin(ctx, f'Adding "{title}"')
        tasks.add(title)
        await show_end(ctx, index, f'Added "{title}"')
        return "ok"

    @function_tool
    async def list_tasks(ctx: Context) -> str:
        index = await show_begin(ctx, "Looking at the tasks")
        await show_end(ctx, index, "Looked at the tasks", tasks.widget())
        return "ok"

    @function_tool
    async def get_location(ctx: Context, precise: bool) -> None:
        ctx.context.client_tool_call = ClientToolCall(name="get_location", arguments={"precise": precise})

    @function_tool(strict_mode=False)
    async def ask_user(ctx: Context, questions: list[Question]) -> None:
        item = StructuredInputItem(
            id=ctx.context.generate_id("message"),
            thread_id=ctx.context.thread.id,
            created_at=datetime.now(),
            inputs=[question.input(f"q{number}") for number, question in enumerate(questions, 1)],
        )
        await ctx.context.stream(ThreadItemDoneEvent(item=item))

    return [add_task, list_tasks, get_location, ask_user]
