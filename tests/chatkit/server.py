"""A server made with ChatKit's own package, for the test that compares ours with it (tests/it/chatkit/differential.rs).

    server.py BASE_URL   requests on stdin, a line each -> {"events": [...]}, {"result": ...} or {"error": "..."}, a line each

BASE_URL is that of the model both servers ask.
"""

import asyncio
import json
import logging
import sys
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)

from agents import Agent, OpenAIChatCompletionsModel, Runner, set_tracing_disabled
from chatkit.agents import AgentContext, stream_agent_response
from chatkit.server import ChatKitServer, StreamingResult
from chatkit.store import NotFoundError, Store
from chatkit.types import Page
from openai import AsyncOpenAI

set_tracing_disabled(True)


class MemoryStore(Store[None]):
    def __init__(self):
        self.threads = {}
        self.items = {}

    def page(self, rows, after, limit, order):
        rows = list(reversed(rows)) if order == "desc" else list(rows)
        if after is not None:
            ids = [row.id for row in rows]
            rows = rows[ids.index(after) + 1 :]
        has_more = len(rows) > limit
        rows = rows[:limit]
        return Page(data=rows, has_more=has_more, after=rows[-1].id if has_more else None)

    async def load_thread(self, thread_id, context):
        if thread_id not in self.threads:
            raise NotFoundError(thread_id)
        return self.threads[thread_id].model_copy(deep=True)

    async def save_thread(self, thread, context):
        self.threads[thread.id] = thread.model_copy(deep=True)
        self.items.setdefault(thread.id, [])

    async def load_threads(self, limit, after, order, context):
        return self.page(list(self.threads.values()), after, limit, order)

    async def delete_thread(self, thread_id, context):
        del self.threads[thread_id]
        del self.items[thread_id]

    async def load_thread_items(self, thread_id, after, limit, order, context):
        return self.page(self.items[thread_id], after, limit, order)

    async def add_thread_item(self, thread_id, item, context):
        self.items[thread_id].append(item)

    async def save_item(self, thread_id, item, context):
        self.items[thread_id] = [item if row.id == item.id else row for row in self.items[thread_id]]

    async def load_item(self, thread_id, item_id, context):
        return next(row for row in self.items[thread_id] if row.id == item_id)

    async def delete_thread_item(self, thread_id, item_id, context):
        self.items[thread_id] = [row for row in self.items[thread_id] if row.id != item_id]

    async def save_attachment(self, attachment, context):
        raise NotImplementedError

    async def load_attachment(self, attachment_id, context):
        raise NotImplementedError

    async def delete_attachment(self, attachment_id, context):
        raise NotImplementedError


class Server(ChatKitServer[None]):
    def __init__(self, base_url):
        super().__init__(MemoryStore())
        client = AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0)
        self.agent = Agent(name="test", model=OpenAIChatCompletionsModel("test-model", client))

    async def respond(self, thread, input_user_message, context):
        items = await self.store.load_thread_items(thread.id, None, 100, "asc", context)
        agent_context = AgentContext(thread=thread, store=self.store, request_context=context)
        # The package's own converter makes history that chat completions refuse.
        roles = {"user_message": "user", "assistant_message": "assistant"}
        asked = [
            {"role": roles[item.type], "content": "".join(part.text for part in item.content)}
            for item in items.data
            if item.type in roles
        ]
        result = Runner.run_streamed(self.agent, asked, context=agent_context)
        # Chat completions name no messages: all of them come with one made-up id.
        message_id = self.store.generate_item_id("message", thread, context)
        async for event in stream_agent_response(agent_context, result):
            if hasattr(event, "item_id"):
                event.item_id = message_id
            if hasattr(event, "item"):
                event.item.id = message_id
            yield event


async def answer(server, request):
    try:
        result = await server.process(request, None)
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
