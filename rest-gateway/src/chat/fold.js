// How an event of a run changes a conversation. Events may come again from the first on: each says how things are.

/** Takes in an event of ChatKit's, or of a run that is followed. What has nothing to show is passed over. */
export function fold(conversation, event) {
  FOLDS[event.type]?.(conversation, event);
}

const FOLDS = {
  "thread.created": (conversation, { thread }) => conversation.setThread(thread),
  "thread.updated": (conversation, { thread }) => conversation.setThread(thread),
  "thread.item.added": (conversation, { item }) => {
    conversation.growing.add(item.id);
    conversation.put(item);
  },
  "thread.item.done": putWhole,
  "thread.item.replaced": putWhole,
  "thread.item.updated": (conversation, { item_id: itemId, update }) => change(conversation, itemId, update),
  // As a run is followed, it tells of a token in fewer words.
  "thread.item.content.part.delta": (conversation, { item_id: itemId, ...delta }) =>
    change(conversation, itemId, { ...delta, type: TEXT_DELTA }),
  "thread.item.removed": (conversation, { item_id: itemId }) => conversation.remove(itemId),
  "run.resync": (conversation, { items }) => items.data.forEach((item) => putWhole(conversation, { item })),
  progress_update: (conversation, progress) => conversation.setProgress(progress),
  notice: (conversation, notice) => conversation.note(notice),
  error: (conversation, { message, allow_retry: mayRetry }) =>
    conversation.fail(message ?? "Something went wrong.", mayRetry),
  "run.failed": (conversation, { error }) => conversation.fail(error.message, true),
  "run.interrupted": (conversation) => conversation.fail("The server stopped before the answer was whole.", true),
};

const TEXT_DELTA = "assistant_message.content_part.text_delta";

/** How an update changes its item. */
const CHANGES = {
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

function putWhole(conversation, { item }) {
  conversation.growing.delete(item.id);
  conversation.put(item);
}

function change(conversation, itemId, update) {
  const item = conversation.items.find(({ id }) => id === itemId);
  if (!item) return;
  if (update.type === TEXT_DELTA) return conversation.grow(item, update.content_index, update.delta);
  CHANGES[update.type]?.(item, update);
  conversation.put(item);
}

function setPart({ content }, update) {
  content[update.content_index] = update.content;
}

function setTask({ workflow }, { task_index: at, task }) {
  workflow.tasks[at] = task;
}

/** Replaces the component of a widget that has this id, wherever it is. */
function replaceComponent(item, componentId, replace) {
  const walk = (component) => {
    if (component.id === componentId) return replace(component);
    const { children } = component;
    if (Array.isArray(children)) return { ...component, children: children.map(walk) };
    return children ? { ...component, children: walk(children) } : component;
  };
  item.widget = walk(item.widget);
}
