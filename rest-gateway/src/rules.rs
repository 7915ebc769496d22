//! THE TABLE: one row per REST operation. Routing, binding, documents, metrics and logs are all made from it.

use crate::response_data::{
    CreatedSession, Deleted, DeletedSession, Items, LenientHealth, PageRows, Session, SessionThread, Sessions,
    StrictHealth, Transcript, Unchanged,
};
use crate::rule::{Page, Preset, Rule, delete, get, patch, post, put};
use threadline_schema::ErrorCode::{
    AccountDisabled, AttachmentNotFound, BudgetExceeded, Conflict, EmailTaken, EmptyMessage, InvalidCredentials,
    InvitationRequired, ItemNotFound, MessageTooLong, NotFound, PayloadTooLarge, RegistrationClosed, SessionLimit,
    TaskNotFound, ThreadBusy, UpstreamError, UpstreamTimeout,
};
use threadline_schema::{admin, attachments, auth, input, items, runs, system, tasks, threads, usage};

/// Path where the file of an attachment is uploaded and downloaded.
pub const ATTACHMENT_CONTENT: &str = "/api/v1/chatkit/attachments/{attachment_id}/content";
/// Path where the preview of an attachment is downloaded.
pub const ATTACHMENT_PREVIEW: &str = "/api/v1/chatkit/attachments/{attachment_id}/preview";

const CHATKIT: &str = "Send a request of ChatKit's protocol, for its front ends.\n\n\
    `type` names the request type, and `params` has its parameters. Most responses are JSON without an envelope. A \
    request that starts a run streams ChatKit's events, as `data:` lines without ids, until the run ends. Closing the \
    request cancels the run, unless a client soon follows the run by the id in `X-Run-Id`. \
    Errors have the members of ChatKit's `error` event in addition to those of every error.";

/// Every REST operation.
pub static RULES: &[Rule] = &[
    post("/api/v1/auth/register").calls::<auth::AuthRegister>().returns::<Unchanged>().status(201).fails(&[
        EmailTaken,
        InvitationRequired,
        RegistrationClosed,
    ]),
    post("/api/v1/auth/login").calls::<auth::AuthLogin>().returns::<Unchanged>().fails(&[InvalidCredentials, AccountDisabled]),
    get("/api/v1/auth/me").calls::<auth::AuthMe>().returns::<Unchanged>(),
    post("/api/v1/auth/change-password")
        .calls::<auth::AuthChangePassword>()
        .returns::<Unchanged>()
        .fails(&[InvalidCredentials]),
    post("/api/v1/auth/client-tokens")
        .calls::<auth::AuthCreateClientToken>()
        .returns::<Unchanged>()
        .optional_body()
        .status(201),
    post("/api/v1/auth/client-tokens/cancel")
        .calls::<auth::AuthCancelClientToken>()
        .returns::<Unchanged>()
        .optional_body(),
    get("/api/v1/auth/export").calls::<auth::AuthExport>().exports_lines().presets(&[("cursor", Preset::Omitted)]).documented(
        "exportAccount",
        "Download everything that is stored about the user, as JSON Lines.\n\n\
         Each line is an object with a `type`: `export`, `account`, `usage`, `task`, `thread`, `item`, `run`, `feedback`, \
         `attachment`, `attachment_bytes` (in base64), `audit`. The last line has the type `end`; without it, the \
         download was interrupted.",
    ),
    post("/api/v1/auth/delete-account")
        .calls::<auth::AuthDeleteAccount>()
        .returns::<Unchanged>()
        .optional_body()
        .status(202)
        .fails(&[InvalidCredentials]),
    post("/api/v1/auth/logout-everywhere").calls::<auth::AuthLogoutEverywhere>().returns::<Unchanged>().optional_body(),
    post("/api/v1/chatkit/sessions")
        .calls::<threads::ThreadsCreate>()
        .returns::<CreatedSession>()
        .optional_body()
        .presets(&[("input", Preset::Omitted), ("last_event_id", Preset::Omitted)])
        .fails(&[SessionLimit, Conflict])
        .documented(
            "createSession",
            "Create a session.\n\n\
             The first message becomes its title, unless the session is renamed before. The number of sessions per \
             user is limited (`SESSION_LIMIT`).",
        ),
    get("/api/v1/chatkit/sessions")
        .calls::<threads::ThreadsList>()
        .returns::<Sessions>()
        .documented("listSessions", "List the user's sessions, last used first."),
    get("/api/v1/chatkit/sessions/{session_id}")
        .calls::<threads::ThreadsGetById>()
        .returns::<Transcript<'_>>()
        .renames(&[("session_id", "thread_id")])
        .presets(&[
            ("limit", Preset::Default("1000")),
            ("order", Preset::Fixed(r#""asc""#)),
            ("include_tool_calls", Preset::Fixed("true")),
        ])
        .fails(&[ItemNotFound])
        .documented(
            "getSession",
            "Get a session with its messages, oldest first.\n\n\
             `meta` is only there if not all messages fit into one page.",
        ),
    patch("/api/v1/chatkit/sessions/{session_id}")
        .calls::<threads::ThreadsUpdate>()
        .returns::<Session>()
        .renames(&[("session_id", "thread_id")])
        .fails(&[Conflict])
        .documented(
            "updateSession",
            "Rename a session.\n\n\
             After that, the first message does not replace the title.",
        ),
    delete("/api/v1/chatkit/sessions/{session_id}")
        .calls::<threads::ThreadsDelete>()
        .returns::<DeletedSession>()
        .renames(&[("session_id", "thread_id")])
        .fails(&[Conflict])
        .documented(
            "deleteSession",
            "Delete a session with all its data.\n\n\
             An active run of the session is cancelled first.",
        ),
    get("/api/v1/chatkit/sessions/{session_id}/items")
        .calls::<items::ItemsList>()
        .returns::<Items>()
        .renames(&[("session_id", "thread_id")])
        .fails(&[ItemNotFound])
        .documented(
            "listItems",
            "List the ChatKit items of a session, page by page.\n\n\
             Hidden items are not included. With `include_summary`, `meta.summary` is what models read in place of the \
             oldest items, if these do not fit into the model's context window.",
        ),
    post("/api/v1/chatkit/sessions/{session_id}/feedback")
        .calls::<items::ItemsFeedback>()
        .returns::<Unchanged>()
        .renames(&[("session_id", "thread_id")])
        .fails(&[ItemNotFound])
        .documented(
            "giveFeedback",
            "Rate items of a session as positive or negative.\n\n\
             The newest rating of an item counts. If one of the items is hidden or is not in this session, nothing is \
             stored.",
        ),
    get("/api/v1/chatkit/sessions/{session_id}/feedback")
        .calls::<items::ItemsListFeedback>()
        .returns::<PageRows>()
        .renames(&[("session_id", "thread_id")])
        .documented("listFeedback", "List the user's ratings of a session's items, newest item first."),
    get("/api/v1/chatkit/sessions/{session_id}/events")
        .calls::<threads::ThreadsSubscribe>()
        .streams_thread()
        .renames(&[("session_id", "thread_id")])
        .documented(
            "followSession",
            "Follow a session across its runs.\n\n\
             The stream starts with the first event of the active run, or after the event that `Last-Event-ID` names. \
             Every later run follows, complete and in order, whichever client has started it. With `snapshot`, the \
             first event is the session with its newest items. Events outside of a run have no id: the snapshot, a new \
             title or status, and a widget that changes without a run. The stream continues after the end of a run. It \
             ends with `thread.deleted`, or with an `error` event when the token has expired, and then `[DONE]`.",
        ),
    post("/api/v1/chatkit/sessions/{session_id}/threads")
        .calls::<threads::ThreadsGetById>()
        .returns::<SessionThread>()
        .renames(&[("session_id", "thread_id")])
        .presets(&[
            ("limit", Preset::Fixed("1")),
            ("order", Preset::Omitted),
            ("after", Preset::Omitted),
            ("include_tool_calls", Preset::Omitted),
        ])
        .documented(
            "openThread",
            "Get the thread of a session.\n\n\
             A session has exactly one thread, with the id of the session. Every call returns the same thread.",
        ),
    post("/api/v1/chatkit/sessions/{session_id}/threads/{thread_id}/runs")
        .calls::<threads::ThreadsAddUserMessage>()
        .streams_started_run()
        .renames(&[("session_id", "thread_id")])
        .message("input")
        .fails(&[
            EmptyMessage,
            MessageTooLong,
            AttachmentNotFound,
            ThreadBusy,
            Conflict,
            BudgetExceeded,
            UpstreamError,
            UpstreamTimeout,
        ])
        .documented(
            "sendMessage",
            "Send a message and stream the answer.\n\n\
             The message is stored before the stream starts. A session answers one message at a time; a second one \
             gets `THREAD_BUSY`. Closing the stream does not stop the run: follow it by the id in `X-Run-Id`.",
        ),
    post("/api/v1/chatkit/sessions/{session_id}/threads/{thread_id}/retry")
        .calls::<threads::ThreadsRetryAfterItem>()
        .streams_started_run()
        .renames(&[("session_id", "thread_id")])
        .fails(&[ItemNotFound, ThreadBusy, Conflict, BudgetExceeded, UpstreamError, UpstreamTimeout])
        .documented(
            "retryMessage",
            "Answer a user message again and stream the new answer.\n\n\
             When the run completes, the old answer and all other items after the message are removed. If the run ends \
             in another way, they stay.",
        ),
    post("/api/v1/chatkit/sessions/{session_id}/threads/{thread_id}/client-tool-output")
        .calls::<threads::ThreadsAddClientToolOutput>()
        .streams_started_run()
        .renames(&[("session_id", "thread_id")])
        .fails(&[ThreadBusy, Conflict, BudgetExceeded, UpstreamError, UpstreamTimeout])
        .documented(
            "addClientToolOutput",
            "Send the output of the client tool that a session waits for, and stream the run that continues.\n\n\
             The newest item of the session must be a pending `client_tool_call`.",
        ),
    post("/api/v1/chatkit/sessions/{session_id}/threads/{thread_id}/structured-input")
        .calls::<threads::ThreadsAddStructuredInput>()
        .streams_started_run()
        .renames(&[("session_id", "thread_id")])
        .fails(&[ItemNotFound, ThreadBusy, Conflict, BudgetExceeded, UpstreamError, UpstreamTimeout])
        .documented(
            "addStructuredInput",
            "Answer the questions that a session waits for, and stream the run that continues.\n\n\
             A question has one value, or several if it allows them. A question without an answer is skipped.\n\n\
             An item with an `approval` asks for a decision about a tool call: `approve`, `approve_always`, `edit` (with \
             `arguments`) or `refuse`. Anything else refuses the call.",
        ),
    post("/api/v1/chatkit/sessions/{session_id}/threads/{thread_id}/actions")
        .calls::<threads::ThreadsCustomAction>()
        .streams_started_run()
        .renames(&[("session_id", "thread_id")])
        .fails(&[ItemNotFound, ThreadBusy, Conflict])
        .documented(
            "customAction",
            "Run a widget's action and stream the resulting events.\n\n\
             `tasks.complete` with `{\"task_id\"}` completes a task. Every other action names a tool that the agents \
             file lets users call; its payload is the tool's arguments.",
        ),
    post("/api/v1/chatkit/sessions/{session_id}/threads/{thread_id}/sync-actions")
        .calls::<threads::ThreadsSyncCustomAction>()
        .returns::<Unchanged>()
        .renames(&[("session_id", "thread_id")])
        .fails(&[ItemNotFound, TaskNotFound, Conflict, UpstreamError])
        .documented("syncCustomAction", "Run a widget's action without a run, and return the updated item."),
    get("/api/v1/chatkit/runs/{run_id}").calls::<runs::RunsGet>().returns::<Unchanged>(),
    post("/api/v1/chatkit/runs/{run_id}/cancel").calls::<runs::RunsCancel>().returns::<Unchanged>(),
    get("/api/v1/chatkit/runs/{run_id}/events")
        .calls::<runs::RunsSubscribe>()
        .streams_run()
        .presets(&[("cancel_when_left", Preset::Omitted)])
        .documented(
            "runsSubscribe",
            "Follow a run, from its start or from a cursor.\n\n\
             The last event is `run.completed`, `run.failed`, `run.cancelled` or `run.interrupted`. `[DONE]` \
             follows it.",
        ),
    post("/chatkit").serves_chatkit().documented("chatkit", CHATKIT),
    post("/api/v1/chatkit").serves_chatkit().documented("chatkitVersioned", CHATKIT),
    post("/api/v1/chatkit/attachments")
        .calls::<attachments::AttachmentsCreate>()
        .returns::<Unchanged>()
        .status(201)
        .fails(&[PayloadTooLarge]),
    delete("/api/v1/chatkit/attachments/{attachment_id}")
        .calls::<attachments::AttachmentsDelete>()
        .returns::<Deleted>()
        .fails(&[Conflict]),
    put(ATTACHMENT_CONTENT).calls::<attachments::AttachmentsWrite>().uploads_file().fails(&[Conflict]).documented(
        "uploadAttachment",
        "Upload the file of an attachment.\n\n\
         Use the URL that the announcement has returned. The body is the file, of exactly the announced length. The \
         server checks the file before it accepts it. A rejected or interrupted upload can be repeated.",
    ),
    get(ATTACHMENT_CONTENT)
        .calls::<attachments::AttachmentsRead>()
        .downloads_file()
        .presets(&[("token", Preset::Omitted), ("preview", Preset::Fixed("false")), ("offset", Preset::Omitted)])
        .fails(&[Conflict])
        .documented(
            "downloadAttachment",
            "Download the file of an attachment.\n\n\
             Browsers save the file; they do not show or run it as a page.",
        ),
    get(ATTACHMENT_PREVIEW)
        .calls::<attachments::AttachmentsRead>()
        .downloads_file()
        .presets(&[("preview", Preset::Fixed("true")), ("offset", Preset::Omitted)])
        .fails(&[Conflict])
        .documented(
            "previewAttachment",
            "Get a small version of an image, as a JPEG.\n\n\
             `preview_url` has this URL. It needs no other token, and works for at least a day. Read the message again for \
             a new one.",
        ),
    post("/api/v1/chatkit/transcriptions")
        .calls::<input::InputTranscribe>()
        .returns::<Unchanged>()
        .fails(&[BudgetExceeded, UpstreamError, UpstreamTimeout]),
    post("/api/v1/tasks").calls::<tasks::TasksCreate>().returns::<Unchanged>().status(201),
    get("/api/v1/tasks").calls::<tasks::TasksList>().returns::<PageRows>(),
    get("/api/v1/tasks/{task_id}").calls::<tasks::TasksGet>().returns::<Unchanged>(),
    put("/api/v1/tasks/{task_id}").calls::<tasks::TasksUpdate>().returns::<Unchanged>(),
    delete("/api/v1/tasks/{task_id}").calls::<tasks::TasksDelete>().returns::<Deleted>(),
    patch("/api/v1/tasks/{task_id}/complete").calls::<tasks::TasksComplete>().returns::<Unchanged>(),
    get("/api/v1/usage").calls::<usage::UsageGet>().returns::<Unchanged>(),
    get("/api/v1/limits").calls::<system::SystemLimits>().returns::<Unchanged>(),
    get("/api/v1/admin/users").calls::<admin::AdminListUsers>().returns::<PageRows>(),
    post("/api/v1/admin/users/{user_id}/disable")
        .calls::<admin::AdminDisableUser>()
        .returns::<Unchanged>()
        .optional_body()
        .fails(&[NotFound]),
    post("/api/v1/admin/users/{user_id}/enable")
        .calls::<admin::AdminEnableUser>()
        .returns::<Unchanged>()
        .optional_body()
        .fails(&[NotFound]),
    put("/api/v1/admin/users/{user_id}/budget-class")
        .calls::<admin::AdminSetBudgetClass>()
        .returns::<Unchanged>()
        .fails(&[NotFound]),
    get("/api/v1/admin/users/{user_id}/threads").calls::<admin::AdminListThreads>().returns::<PageRows>(),
    get("/api/v1/admin/threads/{thread_id}/items")
        .calls::<admin::AdminListItems>()
        .returns::<PageRows>()
        .fails(&[ItemNotFound]),
    get("/api/v1/admin/runs").calls::<admin::AdminListRuns>().returns::<PageRows>(),
    post("/api/v1/admin/runs/{run_id}/cancel")
        .calls::<admin::AdminCancelRun>()
        .returns::<Unchanged>()
        .optional_body(),
    get("/api/v1/admin/usage").calls::<admin::AdminUsage>().returns::<Unchanged>(),
    get("/api/v1/admin/usage/users").calls::<admin::AdminListTopUsers>().returns::<PageRows>(),
    get("/api/v1/admin/budgets").calls::<admin::AdminGetBudgets>().returns::<Unchanged>(),
    get("/api/v1/admin/budgets/users").calls::<admin::AdminListNearBudget>().returns::<PageRows>(),
    get("/api/v1/admin/feedback").calls::<admin::AdminListFeedback>().returns::<PageRows>(),
    get("/api/v1/admin/processes").calls::<admin::AdminListProcesses>().returns::<Unchanged>(),
    get("/api/v1/admin/errors").calls::<admin::AdminGetErrors>().returns::<Unchanged>(),
    post("/api/v1/admin/keys").calls::<admin::AdminCreateKey>().returns::<Unchanged>().fails(&[Conflict]),
    post("/api/v1/admin/keys/{key_id}/revoke")
        .calls::<admin::AdminRevokeKey>()
        .returns::<Unchanged>()
        .optional_body()
        .fails(&[NotFound]),
    get("/api/v1/admin/keys").calls::<admin::AdminListKeys>().returns::<PageRows>(),
    get("/api/v1/admin/audit-log").calls::<admin::AdminAuditLog>().returns::<PageRows>(),
    get("/api/v1/admin/agents-file").calls::<admin::AdminGetAgentsFile>().returns::<Unchanged>(),
    post("/api/v1/admin/agents-file/check").calls::<admin::AdminCheckAgentsFile>().returns::<Unchanged>(),
    post("/api/v1/admin/agents-file/reload")
        .calls::<admin::AdminReloadAgentsFile>()
        .returns::<Unchanged>()
        .optional_body(),
    get("/api/v1/admin/settings").calls::<admin::AdminGetSettings>().returns::<Unchanged>(),
    get("/health").serves(Page::Health).documented("health", "Check whether the process is alive, and nothing else."),
    get("/health/db")
        .calls::<system::SystemHealth>()
        .returns::<LenientHealth>()
        .presets(&[("component", Preset::Fixed(r#""db""#))])
        .documented("healthDb", "Check whether the database answers."),
    get("/health/openrouter")
        .calls::<system::SystemHealth>()
        .returns::<StrictHealth>()
        .presets(&[("component", Preset::Fixed(r#""openrouter""#))])
        .documented("healthOpenrouter", "Check whether the model's server answers."),
    get("/health/all")
        .calls::<system::SystemHealth>()
        .returns::<LenientHealth>()
        .presets(&[("component", Preset::Omitted)])
        .documented("healthAll", "Check whether the service and its components are healthy."),
    get("/metrics").serves(Page::Metrics).documented("metrics", "Get metrics in the text format of Prometheus."),
    get("/openapi.json").serves(Page::OpenApi).documented("openapi", "Get this API as an OpenAPI 3.1 document."),
    get("/docs").serves(Page::Docs).documented("docs", "Get this API as an HTML page."),
    get("/docs/api").serves(Page::Reference).documented("apiReference", "Get this API as an interactive page."),
    get("/docs/api/{file}").serves(Page::ReferenceFile).documented("apiReferenceFile", "Get a file of the interactive page."),
    get("/chat").serves(Page::Chat).documented("chatPage", "Get the chat page, unless `CHAT_PAGE` is off."),
    get("/chat/{file}").serves(Page::ChatFile).documented("chatPageFile", "Get a file of the chat page."),
    get("/admin").serves(Page::Console).documented("console", "Get the console of operators."),
    get("/admin/{file}").serves(Page::ConsoleFile).documented("consoleFile", "Get a file of the console."),
    get("/").serves(Page::Root).documented("root", "Get the version, and links to the documents."),
];
