"""ChatKit's own models, for the test that compares them with ours (tests/it/chatkit/models.rs).

    models.py generate SEED COUNT   COUNT values of each model, as lines of {"model", "as", "typed", "value"}
    models.py check                 lines of {"as", "value"} on stdin -> a line each: a list of what is wrong with it
    models.py changes SEED COUNT    COUNT widgets, each with one that it became, as lines of {"before", "after"}
    models.py fold                  such lines with "updates" on stdin -> a line each: what is wrong with the updates
"""

import copy
import enum
import json
import random
import sys
import types
import typing
import uuid
import warnings
from datetime import datetime, timedelta, timezone

warnings.filterwarnings("ignore")

import typing_extensions
from chatkit import types as ck
from chatkit import widgets
from chatkit.actions import Action
from chatkit.server import diff_widget
from pydantic import AnyUrl, BaseModel, StringConstraints, TypeAdapter

# These models, and those that inherit from them, keep members that a later version may add.
KEEPS_UNKNOWN = (
    ck.ThreadItemBase,
    ck.ThreadMetadata,
    ck.AssistantMessageContent,
    ck.UserMessageTextContent,
    ck.UserMessageTagContent,
    ck.Annotation,
    ck.SourceBase,
    ck.AttachmentBase,
    ck.Workflow,
    ck.CustomSummary,
    ck.DurationSummary,
    ck.BaseTask,
    ck.GeneratedImage,
    ck.StructuredInputBase,
    ck.StructuredInputMultipleChoiceOption,
    widgets.WidgetComponentBase,
)

# The models whose ids are UUIDs here.
HAS_UUID = (ck.ThreadItemBase, ck.ThreadMetadata, ck.AttachmentBase, ck.ThreadItemUpdatedEvent, ck.ThreadItemRemovedEvent)
UUID_FIELDS = ("id", "thread_id", "item_id")

# The leaves of a widget tree.
LEAVES = (widgets.Text, widgets.Badge, widgets.Divider, widgets.Spacer)
DEEPEST = 5


def members_of(union):
    """Return the classes of a union, also if it is wrapped."""
    origin = typing.get_origin(union)
    inner = typing.get_args(union)[0] if origin is typing.Annotated else None
    if typing.get_origin(inner) in (typing.Union, types.UnionType):
        return members_of(inner)
    if origin in (typing.Union, types.UnionType):
        return [member for part in typing.get_args(union) for member in members_of(part)]
    return [union]


def plan():
    """Yield each model, and the kind as which it is read."""
    for name, union in (
        ("event", ck.ThreadStreamEvent),
        ("update", ck.ThreadItemUpdate),
        ("item", ck.ThreadItem),
        ("task", ck.Task),
        ("source", ck.Source),
        ("attachment", ck.Attachment),
        ("content", ck.UserMessageContent),
        ("structured_input", ck.StructuredInput),
        ("component", widgets.WidgetComponent),
        ("root", widgets.WidgetRoot),
    ):
        for model in members_of(union):
            yield name, model
    yield "thread", ck.Thread
    yield "annotation", ck.Annotation
    yield "submission", ck.StructuredInputSubmission
    yield "action", Action[str, typing.Any]
    yield "message_input", ck.UserMessageInput


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.unknown = False

    def text(self):
        words = ["", "plain", 'a "quoted"\nline', "äöü 日本語 🥛", "\u2028", "<b>&amp;</b>"]
        return self.random.choice(words)

    def anything(self, depth):
        kinds = ["text", "number", "truth", "list", "object"] if depth < DEEPEST else ["text", "number", "truth"]
        match self.random.choice(kinds):
            case "text":
                return self.text()
            case "number":
                return self.random.choice([0, -7, 2.5, 2**53])
            case "truth":
                return self.random.choice([True, False])
            case "list":
                return [self.anything(depth + 1) for _ in range(self.random.randrange(3))]
            case _:
                return {f"k{n}": self.anything(depth + 1) for n in range(self.random.randrange(3))}

    def value(self, annotation, depth):
        if isinstance(annotation, (str, typing.ForwardRef)):
            name = getattr(annotation, "__forward_arg__", annotation)
            return self.value(eval(name, vars(widgets) | vars(ck)), depth)
        origin, args = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is typing.Annotated:
            constraint = next((part for part in args[1:] if isinstance(part, StringConstraints)), None)
            if constraint is not None:
                return constraint.pattern.lstrip("^") + "name"
            return self.value(args[0], depth)
        if origin in (typing_extensions.NotRequired, typing_extensions.Required):
            return self.value(args[0], depth)
        if origin is typing.Literal:
            return self.value(self.random.choice(args), depth) if typing.get_origin(args[0]) else self.random.choice(args)
        if origin in (typing.Union, types.UnionType):
            members = [member for member in members_of(annotation) if member is not type(None)]
            if depth >= DEEPEST and any(member in members for member in LEAVES):
                members = LEAVES
            return self.value(self.random.choice(members), depth)
        if origin is list:
            count = 0 if depth >= DEEPEST else self.random.randrange(3)
            return [self.value(args[0], depth + 1) for _ in range(count)]
        if origin is dict:
            return {f"k{n}": self.value(args[1], depth + 1) for n in range(self.random.randrange(3))}
        if annotation is typing.Any:
            return self.anything(depth)
        if annotation is str:
            return self.text()
        if annotation is bool:
            return self.random.choice([True, False])
        if annotation is int:
            return self.random.randrange(100)
        if annotation is float:
            return self.random.choice([0.5, 3.0, 16.25])
        if annotation is datetime:
            moment = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=self.random.randrange(10**8))
            return moment.isoformat().replace("+00:00", "Z")
        if annotation is AnyUrl:
            return "https://example.com/a?b=c"
        if typing_extensions.is_typeddict(annotation):
            return self.typed_dict(annotation, depth)
        if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
            return self.random.choice(list(annotation)).value
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return self.model(annotation, depth)
        raise TypeError(f"nobody has said how to make a {annotation!r}")

    def typed_dict(self, annotation, depth):
        hints = typing_extensions.get_type_hints(annotation, include_extras=True)
        return {
            name: self.value(hint, depth + 1)
            for name, hint in hints.items()
            if name in annotation.__required_keys__ or self.random.random() < 0.6
        }

    def model(self, model, depth):
        made = {}
        for name, field in model.model_fields.items():
            if name == "type" and typing.get_origin(field.annotation) is typing.Literal:
                made["type"] = self.random.choice(typing.get_args(field.annotation))
            elif name == "type" and issubclass(model, widgets.DynamicWidgetComponent):
                # A value that only the newest front ends have, and one whose members are invalid.
                made["type"] = self.random.choice(["Table", "Text"])
            elif name in UUID_FIELDS and issubclass(model, HAS_UUID):
                if field.is_required() or self.random.random() < 0.6:
                    made[name] = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
            # Skip a default that cannot be serialised.
            elif field.is_required() or isinstance(field.default, typing.TypeVar) or self.random.random() < 0.6:
                made[field.alias or name] = self.value(field.annotation, depth + 1)
        if self.unknown and issubclass(model, KEEPS_UNKNOWN):
            made["x_new"] = self.anything(DEEPEST)
        return made


def dumped(adapter, value):
    """Serialise as ChatKit's server does."""
    model = adapter.validate_json(json.dumps(value))
    return json.loads(adapter.dump_json(model, by_alias=True, exclude_none=True))


def with_unknown(sent, value):
    """Serialise with the models, and add the members that they do not know."""
    if isinstance(sent, dict) and isinstance(value, dict):
        merged = {name: with_unknown(member, value[name]) if name in value else member for name, member in sent.items()}
        return merged | {name: member for name, member in value.items() if name not in merged}
    if isinstance(sent, list) and isinstance(value, list) and len(sent) == len(value):
        return [with_unknown(one, other) for one, other in zip(sent, value)]
    return sent


def generate(seed, count):
    generator = Generator(seed)
    for name, model in plan():
        adapter = TypeAdapter(model)
        for turn in range(count):
            generator.unknown = turn % 2 == 1
            value = generator.model(model, 0)
            line = {
                "model": model.__name__,
                "as": name,
                "typed": not issubclass(model, widgets.DynamicWidgetComponent) and not generator.unknown,
                "value": with_unknown(dumped(adapter, value), value),
            }
            print(json.dumps(line))


# Members that this server adds, by the type of their object. docs/CHATKIT.md has them.
ADDED = {("assistant_message", "finish_reason"), ("notice", "finish_reason")}


def lost(sent, kept, path):
    """Yield members that the models do not have."""
    if isinstance(sent, dict) and isinstance(kept, dict):
        for name, member in sent.items():
            if name not in kept and (sent.get("type"), name) in ADDED:
                continue
            elif name not in kept:
                yield f"{path}.{name} is lost"
            else:
                yield from lost(member, kept[name], f"{path}.{name}")
    elif isinstance(sent, list) and isinstance(kept, list) and len(sent) == len(kept):
        for index, (one, other) in enumerate(zip(sent, kept)):
            yield from lost(one, other, f"{path}[{index}]")
    elif sent != kept and moment(sent) != moment(kept):
        yield f"{path} was {sent!r} and is {kept!r}"


def moment(text):
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except (AttributeError, ValueError):
        return text


# The responses of a server.
ANSWERS = {
    "event": ck.ThreadStreamEvent,
    "thread": ck.Thread,
    "threads": ck.Page[ck.Thread],
    "items": ck.Page[ck.ThreadItem],
    "sync_action": ck.SyncCustomActionResponse,
    "attachment": ck.Attachment,
    "transcription": ck.TranscriptionResult,
}


def check():
    adapters = {name: TypeAdapter(model) for name, model in ANSWERS.items()}
    for line in sys.stdin:
        line = json.loads(line)
        kind, sent = line["as"], line["value"]
        name = sent.get("type", kind)
        try:
            wrong = list(lost(sent, dumped(adapters[kind], sent), name))
        except ValueError as error:
            wrong = [f"{name}: {error}"]
        print(json.dumps(wrong), flush=True)


def components(node):
    """Yield a component and all components in it."""
    yield node
    children = node.get("children") or []
    for child in [children] if isinstance(children, dict) else children:
        yield from components(child)


def changed(generator, widget):
    """Return a changed copy of a widget."""
    after = copy.deepcopy(widget)
    pick = generator.random.choice
    for _ in range(generator.random.randrange(1, 4)):
        node = pick(list(components(after)))
        siblings = node.get("children")
        texts = [text for text in components(after) if isinstance(text.get("value"), str)]
        match pick(["words", "words", "words", "member", "id", "less", "more", "other", "nothing"]):
            case "words" if texts:
                pick(texts)["value"] += pick(["", " and more", "ä🥛"])
            case "member":
                node["key"] = generator.text()
            case "id":
                node["id"] = "new"
            case "less" if isinstance(siblings, list) and siblings:
                siblings.pop()
            case "more" if isinstance(siblings, list) and after["type"] != "ListView":
                siblings.append({"type": "Text", "value": "one more"})
            case "other" if node is not after and after["type"] != "ListView":
                kept = {"id": node["id"]} if "id" in node else {}
                node.clear()
                node.update({"type": "Badge", "label": "other"} | kept)
    return after


def changes(seed, count):
    generator, adapter = Generator(seed), TypeAdapter(widgets.WidgetRoot)
    cards = [{"type": "Card", "children": [{"type": "Row", "children": [
        {"type": "Text", "value": "one"}, {"type": "Markdown", "value": "", "streaming": turn % 2 == 0},
        {"type": "Col", "children": [{"type": "Text", "value": "two"}]},
    ]}]} for turn in range(count // 2)]
    roots = [model for model in members_of(widgets.StrictWidgetRoot)]
    grown = [generator.model(roots[turn % len(roots)], 0) for turn in range(count - len(cards))]
    for widget in cards + grown:
        for number, node in enumerate(components(widget)):
            node.pop("id", None)
            if generator.random.random() < 0.6:
                node["id"] = generator.random.choice([f"c{number}"] * 9 + ["twice"])
        before = dumped(adapter, widget)
        print(json.dumps({"before": before, "after": dumped(adapter, changed(generator, before))}))


def folded(widget, updates):
    """Apply updates as a front end does. Return None if an update matches no component, or two."""
    widget = copy.deepcopy(widget)
    for update in updates:
        if update["type"] == "widget.root.updated":
            widget = update["widget"]
            continue
        meant = [node for node in components(widget) if node.get("id") == update["component_id"]]
        if len(meant) != 1:
            return None
        if update["type"] == "widget.component.updated":
            meant[0].clear()
            meant[0].update(update["component"])
        else:
            meant[0]["value"] += update["delta"]
    return widget


def fold():
    roots, adapter = TypeAdapter(widgets.WidgetRoot), TypeAdapter(ck.ThreadItemUpdate)
    for line in sys.stdin:
        case = json.loads(line)
        before, after, ours = case["before"], case["after"], case["updates"]
        try:
            wrong = [loss for update in ours for loss in lost(update, dumped(adapter, update), update["type"])]
            if folded(before, ours) != after:
                wrong.append(f"they end in {json.dumps(folded(before, ours))}")
            theirs = diff_widget(roots.validate_python(before), roots.validate_python(after))
            theirs = [json.loads(adapter.dump_json(update, by_alias=True, exclude_none=True)) for update in theirs]
            # The package ignores text that was appended without an id, and confuses two components with one id.
            are_words = all(update["type"] == "widget.streaming_text.value_delta" for update in theirs)
            if are_words and folded(before, theirs) == after and theirs != ours:
                wrong.append(f"the package has {json.dumps(theirs)}")
        except ValueError as error:
            wrong = [str(error)]
        print(json.dumps(wrong), flush=True)


match sys.argv[1:]:
    case ["generate", seed, count]:
        generate(int(seed), int(count))
    case ["changes", seed, count]:
        changes(int(seed), int(count))
    case ["check"]:
        check()
    case ["fold"]:
        fold()
