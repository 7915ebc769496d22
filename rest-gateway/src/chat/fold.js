// Applies the events of a run to a conversation. Events can come again from the first on: applying one twice changes
// nothing.

/** Applies an event of ChatKit's stream, or of the stream of a run. Events with nothing to show are ignored. */
export function fold(conversation, event) {
  APPLY_EVENT[event.type]?.(conversation, event);
}

/** Returns whether an event is the last one of its run. */
export function isEnd({ type }) {
  return ["run.completed", "run.failed", "run.cancelled", "run.interrupted"].includes(type);
}

const APPLY_EVENT = {
  "thread.created": (conversation, { thread }) => conversation.setThread(thread),
  "thread.updated": (conversation, { thread }) => conversation.setThread(thread),
  "thread.snapshot": (conversation, { thread }) => conversation.setSnapshot(thread),
  "thread.item.added": (conversation, { item }) => {
    conversation.growing.add(item.id);
    conversation.put(item);
  },
  "thread.item.done": putComplete,
  "thread.item.replaced": putComplete,
  "thread.item.updated": (conversation, { item_id: itemId, update }) => change(conversation, itemId, update),
  // The stream of a run has a shorter event for text deltas.
  "thread.item.content.part.delta": (conversation, { item_id: itemId, ...delta }) =>
    change(conversation, itemId, { ...delta, type: TEXT_DELTA }),
  "thread.item.removed": (conversation, { item_id: itemId }) => conversation.remove(itemId),
  "run.resync": replaceRun,
  progress_update: (conversation, progress) => conversation.setProgress(progress),
  notice: (conversation, notice) => {
    // A message shows itself that it is incomplete, also after a reload.
    const isShown = notice.finish_reason && conversation.items.at(-1)?.type === "assistant_message";
    if (!isShown) conversation.note(notice);
  },
  error: (conversation, { message, allow_retry: mayRetry }) =>
    conversation.fail(message ?? "Something went wrong.", mayRetry),
  "run.failed": (conversation, { error }) => conversation.fail(error.message, true),
  "run.interrupted": (conversation) => conversation.fail("The server stopped before the answer was complete.", true),
};

const TEXT_DELTA = "assistant_message.content_part.text_delta";

/** Applies an update to its item, by the type of the update. */
const APPLY_UPDATE = {
  "assistant_message.content_part.added": setPart,
  "assistant_message.content_part.done": setPart,
  "assistant_message.content_part.annotation_added": ({ content }, update) => {
    content[update.content_index].annotations[update.annotation_index] = update.annotation;
  },
  "workflow.task.added": setTask,
  "workflow.task.updated": setTask,
  "widget.root.updated": (item, { widget }) => {
    item.widget = widget;
  },
  "widget.component.updated": (item, { component_id: id, component }) => replaceComponent(item, id, () => component),
  "widget.streaming_text.value_delta": (item, { component_id: id, delta }) =>
    replaceComponent(item, id, (text) => ({ ...text, value: text.value + delta })),
  "generated_image.updated": (item, { image }) => {
    item.image = image;
  },
};

/** Replaces the items of a run by the stored ones. An item that grows and is not stored was unfinished when its process died. */
function replaceRun(conversation, { items }) {
  const kept = new Set(items.data.map(({ id }) => id));
  for (const id of [...conversation.growing].filter((id) => !kept.has(id))) {
    conversation.growing.delete(id);
    conversation.remove(id);
  }
  items.data.forEach((item) => putComplete(conversation, { item }));
}

function putComplete(conversation, { item }) {
  conversation.growing.delete(item.id);
  conversation.put(item);
}

function change(conversation, itemId, update) {
  const item = conversation.items.find(({ id }) => id === itemId);
  if (!item) return;
  if (update.type === TEXT_DELTA) return conversation.grow(item, update.content_index, update.delta);
  APPLY_UPDATE[update.type]?.(item, update);
  conversation.put(item);
}

function setPart({ content }, update) {
  content[update.content_index] = update.content;
}

function setTask({ workflow }, { task_index: at, task }) {
  workflow.tasks[at] = task;
}

/** Replaces the component with this id, at any depth of the widget. */
function replaceComponent(item, componentId, replace) {
  const walk = (component) => {
    if (component.id === componentId) return replace(component);
    const { children } = component;
    if (Array.isArray(children)) return { ...component, children: children.map(walk) };
    return children ? { ...component, children: walk(children) } : component;
  };
  item.widget = walk(item.widget);
}
