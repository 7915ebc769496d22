"""A server that uses ChatKit's package, for the comparison with ours (tests/it/chatkit/differential).

    server.py BASE_URL   requests on stdin, a line each -> {"events": [...]}, {"result": ...} or {"error": "..."}, a line each

BASE_URL is that of the model both servers ask. A line {"upload": URL, "content": "..."} is a file for a URL that an
attachment's descriptor named.
"""

import asyncio
import json
import logging
import sys
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)

from agents import Agent, OpenAIChatCompletionsModel, Runner, StopAtTools, set_tracing_disabled
from agents.models.fake_id import FAKE_RESPONSES_ID
from chatkit.agents import AgentContext, ThreadItemConverter, stream_agent_response
from chatkit.server import ChatKitServer, StreamingResult
from chatkit.types import (
    SyncCustomActionResponse,
    ThreadItemReplacedEvent,
    ThreadItemUpdatedEvent,
    TranscriptionResult,
    WidgetRootUpdated,
)
from openai import AsyncOpenAI
from stores import MemoryStore, Uploads
from tools import COMPLETE, WAITING, Tasks, tools_of

set_tracing_disabled(True)


class Converter(ThreadItemConverter):
    """Return the history for the model."""

    def __init__(self, uploads):
        self.uploads = uploads

    async def attachment_to_message_content(self, attachment):
        return {"type": "input_text", "text": self.uploads.contents[attachment.id]}

    async def tag_to_message_content(self, tag):
        return {"type": "input_text", "text": f"{tag.text}: {json.dumps(tag.data)}"}

    async def assistant_message_to_input(self, item):
        # The package's converter creates parts that chat completions refuse.
        return {"role": "assistant", "content": "".join(part.text for part in item.content)}


class Server(ChatKitServer[None]):
    def __init__(self, base_url):
        store = MemoryStore()
        super().__init__(store, Uploads(store))
        self.converter = Converter(self.attachment_store)
        self.tasks = Tasks()
        self.feedback = []
        self.client = AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0)
        self.agent = Agent(
            name="test",
            model=OpenAIChatCompletionsModel("test-model", self.client),
            tools=tools_of(self.tasks),
            tool_use_behavior=StopAtTools(stop_at_tool_names=WAITING),
        )

    async def respond(self, thread, input_user_message, context):
        items = await self.store.load_thread_items(thread.id, None, 100, "asc", context)
        asked = await self.converter.to_agent_input(items.data)
        agent_context = AgentContext(thread=thread, store=self.store, request_context=context)
        result = Runner.run_streamed(self.agent, asked, context=agent_context)
        async for event in self.named(thread, stream_agent_response(agent_context, result)):
            yield event

    async def named(self, thread, events):
        """Add ids to the events: chat completions have none, and the package would invent one for all."""
        message = None
        async for event in events:
            if getattr(event, "item_id", None) == FAKE_RESPONSES_ID:
                event.item_id = message
            item = getattr(event, "item", None)
            if item is not None and item.id == FAKE_RESPONSES_ID:
                if event.type == "thread.item.added" or item.type != "assistant_message":
                    message = self.store.generate_item_id("message", thread, None)
                item.id = message
            yield event

    def carry_out(self, action, sender):
        """Carry out an action. Return the new widget."""
        if action.type != COMPLETE:
            raise ValueError(action.type)
        self.tasks.complete(action.payload["task_id"])
        widget = self.tasks.shown_done(sender.widget, action.payload["task_id"])
        return sender.model_copy(update={"widget": widget})

    async def action(self, thread, action, sender, context):
        item = self.carry_out(action, sender)
        yield ThreadItemUpdatedEvent(item_id=item.id, update=WidgetRootUpdated(widget=item.widget))
        yield ThreadItemReplacedEvent(item=item)

    async def sync_action(self, thread, action, sender, context):
        item = self.carry_out(action, sender)
        await self.store.save_item(thread.id, item, context)
        return SyncCustomActionResponse(updated_item=item)

    async def add_feedback(self, thread_id, item_ids, feedback, context):
        self.feedback += [(await self.store.load_item(thread_id, id, context), feedback) for id in item_ids]

    async def transcribe(self, audio_input, context):
        file = ("recording.webm", audio_input.data, audio_input.media_type)
        heard = await self.client.audio.transcriptions.create(model="whisper", file=file)
        return TranscriptionResult(text=heard.text)


async def answer(server, line):
    request = json.loads(line)
    try:
        if "upload" in request:
            await server.attachment_store.upload(request["upload"], request["content"])
            return {"result": {}}
        result = await server.process(line, None)
        if not isinstance(result, StreamingResult):
            return {"result": json.loads(result.json)}
        events = [chunk async for chunk in result]
        return {"events": [json.loads(chunk.removeprefix(b"data: ")) for chunk in events]}
    except Exception as error:
        return {"error": type(error).__name__}


async def main():
    server = Server(sys.argv[1])
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await answer(server, line)), flush=True)


asyncio.run(main())
