"""The storage of the package's server: threads and files in memory."""

from chatkit.store import AttachmentStore, NotFoundError, Store
from chatkit.types import AttachmentUploadDescriptor, FileAttachment, ImageAttachment, Page

# Never requested: uploads arrive on stdin.
FILES = "http://127.0.0.1/files"


class MemoryStore(Store[None]):
    def __init__(self):
        self.threads = {}
        self.items = {}
        self.attachments = {}

    def page(self, rows, after, limit, order):
        rows = list(reversed(rows)) if order == "desc" else list(rows)
        if after is not None:
            ids = [row.id for row in rows]
            rows = rows[ids.index(after) + 1 :]
        has_more = len(rows) > limit
        rows = [row.model_copy(deep=True) for row in rows[:limit]]
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
        self.items[thread_id].append(item.model_copy(deep=True))

    async def save_item(self, thread_id, item, context):
        kept = item.model_copy(deep=True)
        self.items[thread_id] = [kept if row.id == item.id else row for row in self.items[thread_id]]

    async def load_item(self, thread_id, item_id, context):
        for row in self.items[thread_id]:
            if row.id == item_id:
                return row.model_copy(deep=True)
        raise NotFoundError(item_id)

    async def delete_thread_item(self, thread_id, item_id, context):
        self.items[thread_id] = [row for row in self.items[thread_id] if row.id != item_id]

    async def save_attachment(self, attachment, context):
        self.attachments[attachment.id] = attachment

    async def load_attachment(self, attachment_id, context):
        if attachment_id not in self.attachments:
            raise NotFoundError(attachment_id)
        return self.attachments[attachment_id]

    async def delete_attachment(self, attachment_id, context):
        del self.attachments[attachment_id]


class Uploads(AttachmentStore[None]):
    """Files with two-phase upload: they are announced, and then uploaded to the returned URL."""

    def __init__(self, store):
        self.store = store
        self.contents = {}

    async def create_attachment(self, input, context):
        id = self.generate_attachment_id(input.mime_type, context)
        headers = {"content-type": input.mime_type}
        descriptor = AttachmentUploadDescriptor(url=f"{FILES}/{id}", method="PUT", headers=headers)
        announced = {"id": id, "name": input.name, "mime_type": input.mime_type, "upload_descriptor": descriptor}
        if input.mime_type.startswith("image/"):
            return ImageAttachment(**announced, preview_url=f"{FILES}/{id}/preview")
        return FileAttachment(**announced)

    async def delete_attachment(self, attachment_id, context):
        if attachment_id not in self.store.attachments:
            raise NotFoundError(attachment_id)
        self.contents.pop(attachment_id, None)

    async def upload(self, url, content):
        """Finish a two-phase upload, which is up to the integration."""
        attachment = await self.store.load_attachment(url.removeprefix(f"{FILES}/"), None)
        self.contents[attachment.id] = content
        await self.store.save_attachment(attachment.model_copy(update={"upload_descriptor": None}), None)
