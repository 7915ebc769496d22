//! THE TABLE: one row per REST operation. Routing, binding, documents, metrics and logs all read it.

use crate::reply::{
    AnyHealth, CreatedSession, Deleted, DeletedSession, Rows, Session, SessionThread, Sessions, StrictHealth,
    Transcript, Whole,
};
use crate::rule::{Page, Preset, Rule, delete, get, patch, post, put};
use threadline_schema::ErrorCode::{
    BudgetExceeded, Conflict, EmailTaken, EmptyMessage, InvalidCredentials, ItemNotFound, MessageTooLong,
    PayloadTooLarge, SessionLimit, TaskNotFound, ThreadBusy, UpstreamError, UpstreamTimeout,
};
use threadline_schema::{attachments, auth, input, items, runs, system, tasks, threads, usage};

/// Where the file of an attachment is put and read.
pub const ATTACHMENT_CONTENT: &str = "/api/v1/chatkit/attachments/{attachment_id}/content";
/// Where the preview of an attachment is read.
pub const ATTACHMENT_PREVIEW: &str = "/api/v1/chatkit/attachments/{attachment_id}/preview";

const CHATKIT: &str = "ChatKit's own endpoint, for its front ends.\n\n\
    `type` names the request, `params` says the rest. Some requests are answered with JSON, without an envelope, and \
    those that start a run with ChatKit's events: `data:` and nothing else, until the run ends. Closing the request \
    cancels the run, unless somebody follows it by the id in `X-Run-Id` soon. \
    Errors have the members of ChatKit's `error` event beside those of every error.";

/// Every REST operation.
pub static RULES: &[Rule] = &[
    post("/api/v1/auth/register").calls::<auth::AuthRegister>().replies::<Whole>().status(201).fails(&[EmailTaken]),
    post("/api/v1/auth/login").calls::<auth::AuthLogin>().replies::<Whole>().fails(&[InvalidCredentials]),
    get("/api/v1/auth/me").calls::<auth::AuthMe>().replies::<Whole>(),
    post("/api/v1/chatkit/sessions")
        .calls::<threads::ThreadsCreate>()
        .replies::<CreatedSession>()
        .optional_body()
        .presets(&[("input", Preset::Withheld)])
        .fails(&[SessionLimit, Conflict])
        .named(
            "createSession",
            "Create a session.\n\n\
             Its title becomes the first message, unless it is renamed. A user may have a limited number of sessions \
             (`SESSION_LIMIT`).",
        ),
    get("/api/v1/chatkit/sessions")
        .calls::<threads::ThreadsList>()
        .replies::<Sessions>()
        .named("listSessions", "The user's sessions, last used first."),
    get("/api/v1/chatkit/sessions/{session_id}")
        .calls::<threads::ThreadsGetById>()
        .replies::<Transcript<'_>>()
        .binds(&[("session_id", "thread_id")])
        .presets(&[
            ("limit", Preset::Default("1000")),
            ("order", Preset::Fixed(r#""asc""#)),
            ("include_tool_calls", Preset::Fixed("true")),
        ])
        .named(
            "getSession",
            "A session with its messages, oldest first.\n\n\
             `meta` is there when not all of them fit.",
        ),
    patch("/api/v1/chatkit/sessions/{session_id}")
        .calls::<threads::ThreadsUpdate>()
        .replies::<Session>()
        .binds(&[("session_id", "thread_id")])
        .named(
            "updateSession",
            "Rename a session.\n\n\
             The first message does not replace this title any more.",
        ),
    delete("/api/v1/chatkit/sessions/{session_id}")
        .calls::<threads::ThreadsDelete>()
        .replies::<DeletedSession>()
        .binds(&[("session_id", "thread_id")])
        .named(
            "deleteSession",
            "Delete a session with everything in it.\n\n\
             A run that is still answering in it is cancelled first.",
        ),
    get("/api/v1/chatkit/sessions/{session_id}/items")
        .calls::<items::ItemsList>()
        .replies::<Rows>()
        .binds(&[("session_id", "thread_id")])
        .named(
            "listItems",
            "The ChatKit items of a session, page by page.\n\n\
             Hidden ones are never among them.",
        ),
    post("/api/v1/chatkit/sessions/{session_id}/feedback")
        .calls::<items::ItemsFeedback>()
        .replies::<Whole>()
        .binds(&[("session_id", "thread_id")])
        .fails(&[ItemNotFound])
        .named(
            "giveFeedback",
            "Say whether items of a session were good.\n\n\
             The last word about an item counts. All of the items must be of this session and visible, or nothing is \
             stored.",
        ),
    get("/api/v1/chatkit/sessions/{session_id}/feedback")
        .calls::<items::ItemsListFeedback>()
        .replies::<Rows>()
        .binds(&[("session_id", "thread_id")])
        .named("listFeedback", "What the user thinks of a session's items, newest item first."),
    get("/api/v1/chatkit/sessions/{session_id}/events")
        .calls::<threads::ThreadsSubscribe>()
        .streams_the_thread()
        .binds(&[("session_id", "thread_id")])
        .named(
            "followSession",
            "Follow a session across its runs.\n\n\
             The stream begins with the run that is answering, from its first event, or behind the event that \
             `Last-Event-ID` names; every later run follows whole and in order, whoever started it. With `snapshot` the \
             session and its newest items come first, as one event without an id; a change of its title or status, and a \
             widget that was used without a run, are told without one too. The end of a run does not end the stream: \
             that is `thread.deleted`, or an `error` when the token has expired, and then `[DONE]`.",
        ),
    post("/api/v1/chatkit/sessions/{session_id}/threads")
        .calls::<threads::ThreadsGetById>()
        .replies::<SessionThread>()
        .binds(&[("session_id", "thread_id")])
        .presets(&[
            ("limit", Preset::Fixed("1")),
            ("order", Preset::Withheld),
            ("after", Preset::Withheld),
            ("include_tool_calls", Preset::Withheld),
        ])
        .named(
            "openThread",
            "The thread of a session.\n\n\
             A session has one, of its own id; the answer is the same every time.",
        ),
    post("/api/v1/chatkit/sessions/{session_id}/threads/{thread_id}/runs")
        .calls::<threads::ThreadsAddUserMessage>()
        .streams_the_run()
        .binds(&[("session_id", "thread_id")])
        .message("input")
        .fails(&[EmptyMessage, MessageTooLong, ThreadBusy, Conflict, BudgetExceeded, UpstreamError, UpstreamTimeout])
        .named(
            "sendMessage",
            "Say something and stream the answer.\n\n\
             The message is stored before the stream begins. A session answers one message at a time; a second one \
             gets `THREAD_BUSY`. Leaving the stream does not stop the run: follow it by the id in `X-Run-Id`.",
        ),
    post("/api/v1/chatkit/sessions/{session_id}/threads/{thread_id}/retry")
        .calls::<threads::ThreadsRetryAfterItem>()
        .streams_the_run()
        .binds(&[("session_id", "thread_id")])
        .fails(&[ItemNotFound, ThreadBusy, Conflict, UpstreamError, UpstreamTimeout])
        .named(
            "retryMessage",
            "Answer a message of the user again and stream the new answer.\n\n\
             The old answer, and whatever else stands behind the message, is removed when the new one is whole, and \
             stays if the run ends otherwise.",
        ),
    post("/api/v1/chatkit/sessions/{session_id}/threads/{thread_id}/client-tool-output")
        .calls::<threads::ThreadsAddClientToolOutput>()
        .streams_the_run()
        .binds(&[("session_id", "thread_id")])
        .fails(&[ThreadBusy, Conflict, UpstreamError, UpstreamTimeout])
        .named(
            "addClientToolOutput",
            "Give the output of the client's tool that a session waits for, and stream how it goes on.\n\n\
             The newest item of the session must be a pending `client_tool_call`.",
        ),
    post("/api/v1/chatkit/sessions/{session_id}/threads/{thread_id}/structured-input")
        .calls::<threads::ThreadsAddStructuredInput>()
        .streams_the_run()
        .binds(&[("session_id", "thread_id")])
        .fails(&[ItemNotFound, ThreadBusy, Conflict, UpstreamError, UpstreamTimeout])
        .named(
            "addStructuredInput",
            "Answer the questions that a session waits for, and stream how it goes on.\n\n\
             A question takes one value, or several where it says so; one without an answer is skipped.",
        ),
    post("/api/v1/chatkit/sessions/{session_id}/threads/{thread_id}/actions")
        .calls::<threads::ThreadsCustomAction>()
        .streams_the_run()
        .binds(&[("session_id", "thread_id")])
        .fails(&[ItemNotFound, ThreadBusy, Conflict])
        .named(
            "customAction",
            "Use a widget: have its action carried out, and stream what becomes of it.\n\n\
             `tasks.complete` with `{\"task_id\"}` completes a task; any other names a tool that the agents file lets \
             users call, and its payload is the arguments.",
        ),
    post("/api/v1/chatkit/sessions/{session_id}/threads/{thread_id}/sync-actions")
        .calls::<threads::ThreadsSyncCustomAction>()
        .replies::<Whole>()
        .binds(&[("session_id", "thread_id")])
        .fails(&[ItemNotFound, TaskNotFound, UpstreamError])
        .named("syncCustomAction", "Use a widget: have its action carried out at once."),
    get("/api/v1/chatkit/runs/{run_id}").calls::<runs::RunsGet>().replies::<Whole>(),
    post("/api/v1/chatkit/runs/{run_id}/cancel").calls::<runs::RunsCancel>().replies::<Whole>(),
    get("/api/v1/chatkit/runs/{run_id}/events")
        .calls::<runs::RunsSubscribe>()
        .streams()
        .presets(&[("cancel_when_left", Preset::Withheld)])
        .named(
            "runsSubscribe",
            "Follow a run, from its beginning or from a cursor.\n\n\
             The last event is `run.completed`, `run.failed`, `run.cancelled` or `run.interrupted`; `[DONE]` follows it.",
        ),
    post("/chatkit").speaks_chatkit().named("chatkit", CHATKIT),
    post("/api/v1/chatkit").speaks_chatkit().named("chatkitVersioned", CHATKIT),
    post("/api/v1/chatkit/attachments").calls::<attachments::AttachmentsCreate>().replies::<Whole>().status(201).fails(&[
        PayloadTooLarge,
    ]),
    delete("/api/v1/chatkit/attachments/{attachment_id}")
        .calls::<attachments::AttachmentsDelete>()
        .replies::<Deleted>()
        .fails(&[Conflict]),
    put(ATTACHMENT_CONTENT).calls::<attachments::AttachmentsWrite>().takes_the_file().fails(&[Conflict]).named(
        "uploadAttachment",
        "Upload the file of an attachment.\n\n\
         Best at the URL that announcing it gave. The body is the file itself, of exactly the length that was announced; \
         it is looked at before it counts. What is refused or breaks off may be uploaded again.",
    ),
    get(ATTACHMENT_CONTENT)
        .calls::<attachments::AttachmentsRead>()
        .gives_the_file()
        .presets(&[
            ("token", Preset::Withheld),
            ("preview", Preset::Fixed("false")),
            ("offset", Preset::Withheld),
        ])
        .fails(&[Conflict])
        .named(
            "downloadAttachment",
            "The file of an attachment.\n\n\
             Sent as a download: no browser runs or shows it as a page.",
        ),
    get(ATTACHMENT_PREVIEW)
        .calls::<attachments::AttachmentsRead>()
        .gives_the_file()
        .presets(&[("preview", Preset::Fixed("true")), ("offset", Preset::Withheld)])
        .fails(&[Conflict])
        .named(
            "previewAttachment",
            "A small version of an image, as a JPEG.\n\n\
             `preview_url` leads here. It works without any other token, as long as the attachment is there.",
        ),
    post("/api/v1/chatkit/transcriptions").calls::<input::InputTranscribe>().replies::<Whole>().fails(&[
        UpstreamError,
        UpstreamTimeout,
    ]),
    post("/api/v1/tasks").calls::<tasks::TasksCreate>().replies::<Whole>().status(201),
    get("/api/v1/tasks").calls::<tasks::TasksList>().replies::<Rows>(),
    get("/api/v1/tasks/{task_id}").calls::<tasks::TasksGet>().replies::<Whole>(),
    put("/api/v1/tasks/{task_id}").calls::<tasks::TasksUpdate>().replies::<Whole>(),
    delete("/api/v1/tasks/{task_id}").calls::<tasks::TasksDelete>().replies::<Deleted>(),
    patch("/api/v1/tasks/{task_id}/complete").calls::<tasks::TasksComplete>().replies::<Whole>(),
    get("/api/v1/usage").calls::<usage::UsageGet>().replies::<Whole>(),
    get("/health").serves(Page::Health).named("health", "Whether the process is alive. Asks nothing else."),
    get("/health/db")
        .calls::<system::SystemHealth>()
        .replies::<AnyHealth>()
        .presets(&[("component", Preset::Fixed(r#""db""#))])
        .named("healthDb", "Whether the database answers."),
    get("/health/openrouter")
        .calls::<system::SystemHealth>()
        .replies::<StrictHealth>()
        .presets(&[("component", Preset::Fixed(r#""openrouter""#))])
        .named("healthOpenrouter", "Whether the model's server answers."),
    get("/health/all")
        .calls::<system::SystemHealth>()
        .replies::<AnyHealth>()
        .presets(&[("component", Preset::Withheld)])
        .named("healthAll", "Whether the service and its parts are well."),
    get("/metrics").serves(Page::Metrics).named("metrics", "Metrics in Prometheus' text form."),
    get("/openapi.json").serves(Page::OpenApi).named("openapi", "This API as an OpenAPI 3.1 document."),
    get("/docs").serves(Page::Docs).named("docs", "This API as a page for people."),
    get("/chat").serves(Page::Chat).named("chatPage", "A page to chat on, in the browser, unless `CHAT_PAGE` is off."),
    get("/chat/{file}").serves(Page::ChatFile).named("chatPageFile", "What the chat page is made of."),
    get("/").serves(Page::Root).named("root", "What this is and where its documents are."),
];
