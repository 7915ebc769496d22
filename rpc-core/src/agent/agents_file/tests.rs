use super::AgentsFileError;
use crate::config::{
    AgentsConfig, ApprovalMode, CrashPolicy, EndpointKind, McpTransport, PromptFact, Retention, TitlePolicy,
    ToolSelector,
};
use secrecy::ExposeSecret;
use serde_json::json;
use std::time::Duration;
use threadline_model::dialect::{Dialect, ReasoningContent, SystemRole};

/// Reads a file with this text, in a folder of its own beside `prompt.md`.
fn read(text: &str) -> Result<AgentsConfig, AgentsFileError> {
    let folder = std::env::temp_dir().join(format!("threadline-agents-{}", uuid::Uuid::new_v4().simple()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("prompt.md"), "\nBe kind.\n").unwrap();
    let path = folder.join("agents.toml");
    std::fs::write(&path, text).unwrap();
    let variable = |name: &str| match name {
        "TOKEN" => Some("hunter2-token".to_owned()),
        "KEY" => Some("hunter2-0123456789-0123456789-0123456789".to_owned()),
        _ => None,
    };
    let config = AgentsConfig::read(&path, &variable);
    std::fs::remove_dir_all(&folder).unwrap();
    config
}

const WHOLE: &str = r#"
default = "helper"

[agents.helper]
instructions = " Help. "
model = "m/one"
models = ["m/two"]
fallback_models = ["m/three"]
temperature = 1
top_p = 0.5
max_tokens = 100
frequency_penalty = -2
seed = 7
stop = ["END"]
reasoning_effort = "low"
max_turns = 3
tools = ["list_tasks", "mcp:files", "files_read", "order"]
tell = ["time", "metadata"]
starter_title = "none"
title_model = "m/small"
summary_model = "m/cheap"

[[agents.helper.client_tools]]
name = "where"
description = "Where the user is."

[[agents.helper.client_tools]]
name = "pick"
description = "Pick one."
parameters = '{"type": "object", "properties": {"of": {"type": "array"}}}'

[agents.plain]
instructions_file = "prompt.md"

[models."m/one"]
input_per_million = 0.15
output_per_million = 1
context_tokens = 8192

[models."m/two".dialect]
base = "mistral"
system = "developer"
stream_options = true
max_tools = 20
omit = ["temperature", "stop"]

[mcp.files]
command = "files-server"
args = ["--read-only"]
env = { TOKEN = { env = "TOKEN" }, MODE = "ro" }
timeout_seconds = 5
user_context = true
widgets = true
actions = ["write"]

[mcp.wiki]
url = "https://wiki.internal/mcp"
headers = { Authorization = { env = "TOKEN", prefix = "Bearer " } }

[tools.order]
kind = "http"
url = "https://orders.internal/v1/orders/{id}/lines"
method = "GET"
description = "The lines of an order."
acts = false
max_concurrency = 2
max_result_bytes = 1000
user_context = { env = "KEY" }
[tools.order.parameters]
type = "object"
required = ["id"]
properties.id.type = "string"

[tools.refund]
kind = "jsonrpc"
url = "http://refunds.internal/rpc"
method = "refund.make"
widgets = true
action = true
description = "Make a refund."
"#;

#[test]
fn a_whole_file_is_read() {
    let config = read(WHOLE).unwrap();
    assert_eq!(&*config.default, "helper");
    let helper = &config.agents["helper"];
    assert_eq!(helper.instructions.as_deref(), Some("Help."));
    assert_eq!((helper.model.as_deref(), helper.max_turns), (Some("m/one"), Some(3)));
    assert_eq!(helper.prompt_facts, [PromptFact::Time, PromptFact::Metadata]);
    assert_eq!((helper.title_policy, helper.title_model.as_deref()), (TitlePolicy::Untitled, Some("m/small")));
    assert_eq!(helper.summary_model.as_deref(), Some("m/cheap"));
    assert_eq!((&*helper.selectable_models[0], &*helper.fallback_models[0]), ("m/two", "m/three"));
    assert_eq!(
        serde_json::to_value(&helper.parameters).unwrap(),
        json!({
            "temperature": 1.0, "top_p": 0.5, "max_tokens": 100, "frequency_penalty": -2.0, "seed": 7,
            "stop": ["END"], "reasoning_effort": "low",
        })
    );
    let named = |name: &str| ToolSelector::Named(name.into());
    assert_eq!(
        helper.tools,
        [named("list_tasks"), ToolSelector::Mcp("files".into()), named("files_read"), named("order")]
    );
    assert_eq!(
        (&*helper.client_tools[0].name, &helper.client_tools[0].parameters["type"]),
        ("where", &json!("object"))
    );
    assert_eq!(helper.client_tools[1].parameters["properties"]["of"]["type"], "array");

    let plain = &config.agents["plain"];
    assert_eq!(plain.instructions.as_deref(), Some("Be kind."));
    assert_eq!((plain.title_policy, plain.title_model.as_deref()), (TitlePolicy::FromMessage, None));
    assert_eq!((plain.model.as_deref(), &plain.tools[..]), (None, &[ToolSelector::BuiltIn][..]));

    let (one, two) = (&config.models["m/one"], &config.models["m/two"]);
    assert_eq!((one.prices.unwrap().output_per_million, one.context_tokens), (1.0, Some(8_192)));
    assert!(one.dialect.is_none() && two.prices.is_none(), "prices and dialects need not come together");
    let dialect = Dialect::resolve("host", "m/two", two.dialect.as_deref());
    assert_eq!((dialect.system, dialect.stream_options, dialect.max_tools), (SystemRole::Developer, true, 20));
    assert_eq!(dialect.omit.iter().collect::<Vec<_>>(), ["stop", "temperature"]);
    assert_eq!(dialect.reasoning_content, ReasoningContent::Off, "of the base");
    let McpTransport::Command { program, arguments, environment } = &config.mcp["files"].transport else { panic!() };
    assert_eq!((program.as_str(), arguments[0].as_str()), ("files-server", "--read-only"));
    let environment: Vec<_> = environment.iter().map(|pair| (pair.name.as_str(), pair.value.expose_secret())).collect();
    assert_eq!(environment, [("MODE", "ro"), ("TOKEN", "hunter2-token")]);
    assert_eq!((config.mcp["files"].sends_user_context, config.mcp["wiki"].sends_user_context), (true, false));
    assert_eq!(config.mcp["files"].limits.timeout, Duration::from_secs(5));
    assert_eq!((config.mcp["files"].allows_widgets, &*config.mcp["files"].actions[0]), (true, "write"));
    assert_eq!((config.mcp["wiki"].allows_widgets, &config.mcp["wiki"].actions[..]), (false, &[][..]));
    let McpTransport::Http { headers, .. } = &config.mcp["wiki"].transport else { panic!() };
    assert_eq!((headers[0].name.as_str(), headers[0].value.expose_secret()), ("authorization", "Bearer hunter2-token"));

    let order = &config.tools["order"];
    assert_eq!(order.kind, EndpointKind::Http { method: http::Method::GET });
    assert_eq!((order.has_side_effects, order.limits.concurrency, order.limits.result_bytes), (false, 2, 1000));
    assert_eq!(order.user_context.as_ref().unwrap().header, "x-threadline-context");
    let refund = &config.tools["refund"];
    assert_eq!(refund.kind, EndpointKind::JsonRpc { method: "refund.make".into() });
    assert!(refund.has_side_effects, "tools have side effects by default");
    assert_eq!(
        (refund.allows_widgets, refund.is_action, order.allows_widgets, order.is_action),
        (true, true, false, false)
    );
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn what_is_safe_after_a_crash_is_read() {
    let config = read(
        r#"
default = "a"

[agents.a]

[agents.b]
on_crash = "interrupt"

[mcp.files]
command = "files-server"
idempotent = ["read"]
trust_hints = true

[mcp.other]
command = "other-server"

[tools.look]
kind = "http"
url = "https://a.internal/look"
description = "Looks."
acts = false

[tools.set]
kind = "http"
url = "https://a.internal/set"
description = "Sets."
idempotent = true

[tools.draw]
kind = "http"
url = "https://a.internal/draw"
description = "Draws a random number, which should be drawn once."
acts = false
idempotent = false

[tools.pay]
kind = "http"
url = "https://a.internal/pay"
description = "Pays."
"#,
    );
    let config = config.unwrap();
    let policies = ["a", "b"].map(|name| config.agents[name].on_crash);
    assert_eq!(policies, [CrashPolicy::Continue, CrashPolicy::Interrupt]);
    let (files, other) = (&config.mcp["files"], &config.mcp["other"]);
    assert_eq!((files.idempotent.as_slice(), files.trusts_hints), (&["read".into()][..], true));
    assert!(other.idempotent.is_empty() && !other.trusts_hints);
    let tools = ["look", "set", "draw", "pay"].map(|name| config.tools[name].is_idempotent);
    assert_eq!(tools, [true, true, false, false]);
}

#[test]
fn approval_is_read() {
    let config = read(
        r#"
approval_expires_seconds = 60
default = "a"
[agents.a]
approval = { delete_task = "always", "mcp:files" = "first", built-in = "never" }
[agents.b]
approval_expires_seconds = 5
[mcp.files]
command = "x"
approval = { "*" = "first", "read" = "never" }
[mcp.wiki]
command = "x"
approval = "always"
[mcp.other]
command = "x"
[tools.order]
kind = "http"
url = "http://z"
description = "x"
approval = "first"
"#,
    )
    .unwrap();
    let approvals = [
        (ToolSelector::BuiltIn, ApprovalMode::Never),
        (ToolSelector::Named("delete_task".into()), ApprovalMode::Always),
        (ToolSelector::Mcp("files".into()), ApprovalMode::First),
    ];
    assert_eq!(config.agents["a"].approvals, approvals);
    assert_eq!(config.agents["a"].approval_expires, Some(Duration::from_secs(60)));
    assert_eq!(config.agents["b"].approval_expires, Some(Duration::from_secs(5)));
    let [files, wiki, other] = ["files", "wiki", "other"].map(|name| &config.mcp[name]);
    assert_eq!((files.approval, files.approval_of["read"]), (ApprovalMode::First, ApprovalMode::Never));
    assert_eq!((wiki.approval, other.approval), (ApprovalMode::Always, ApprovalMode::Never));
    assert_eq!(config.tools["order"].approval, ApprovalMode::First);
}

#[test]
fn the_only_agent_is_the_default() {
    assert_eq!(&*read("[agents.only]\n").unwrap().default, "only");
}

/// Invalid files: text, line and column of the error, and words of its text.
const INVALID: &[(&str, usize, usize, &str)] = &[
    ("", 1, 1, "there is no agent"),
    ("[agents.a]\n[agents.b]\n", 1, 1, "`default` is missing: name one of a, b"),
    ("default = \"c\"\n[agents.a]\n[agents.b]\n", 1, 11, "there are: a, b"),
    ("[agents.a]\nmodel = \n", 2, 9, "string"),
    ("[agents.a]\nmodels = [\"x\"\n", 2, 14, "unclosed array"),
    ("[agents.a]\nflavour = \"x\"\n", 2, 1, "unknown field `flavour`"),
    ("agnets = 1\n[agents.a]\n", 1, 1, "unknown field `agnets`"),
    ("[agents.a]\nmodel = 7\n", 2, 9, "invalid type"),
    ("[agents.a]\nmodel = \" \"\n", 2, 9, "must not be empty"),
    ("[agents.a]\n\n  temperature = 2.5\n", 3, 17, "not from 0 to 2"),
    ("[agents.a]\ntop_p = 0\n", 2, 9, "not from"),
    ("[agents.a]\nmax_tokens = -1\n", 2, 14, "invalid value"),
    ("[agents.a]\nmax_turns = 101\n", 2, 13, "not from 1 to 100"),
    ("[agents.a]\nstop = [\"1\", \"2\", \"3\", \"4\", \"5\"]\n", 2, 29, "at most 4"),
    ("[agents.a]\ntell = [\"time\", \"weather\"]\n", 2, 17, "\"languages\", \"metadata\" or \"time\""),
    ("[agents.a]\nstarter_title = \"first\"\n", 2, 17, "\"message\" or \"none\""),
    ("[agents.a]\ntitle_model = \"\"\n", 2, 15, "must not be empty"),
    ("[agents.a]\napproval = { add_task = \"ask\" }\n", 2, 25, "\"first\" or \"always\""),
    ("[agents.a]\napproval = { fly = \"always\" }\n", 2, 14, "there are: built-in, add_task"),
    ("[agents.a]\napproval = { ask_user = \"always\" }\n", 2, 14, "asks the user anyway"),
    ("[agents.a]\non_crash = \"go on\"\n", 2, 12, "\"continue\" or \"interrupt\""),
    ("[agents.a]\napproval_expires_seconds = 0\n", 2, 28, "not from 1 to"),
    ("[agents.a]\n[mcp.x]\ncommand = \"y\"\napproval = \"yes\"\n", 4, 12, "\"first\" or \"always\""),
    ("[agents.a]\n[mcp.x]\ncommand = \"y\"\napproval = 1\n", 4, 12, "expected \"never\""),
    ("[agents.a]\n[mcp.x]\ncommand = \"y\"\napproval = { w = \"no\" }\n", 4, 12, "\"first\" or \"always\""),
    ("[agents.\"a b\"]\n", 1, 9, "letters, digits"),
    ("[agents.a]\ntools = [\"list_tasks\", \"fly\"]\n", 2, 24, "there are: built-in, add_task"),
    ("[agents.a]\ntools = [\"mcp:wiki\"]\n", 2, 10, "no table [mcp.wiki]"),
    ("[agents.a]\ninstructions = \"a\"\ninstructions_file = \"prompt.md\"\n", 3, 21, "keep one of the two"),
    ("[agents.a]\ninstructions_file = \"none.md\"\n", 2, 21, "cannot be read"),
    ("[agents.a]\n[[agents.a.client_tools]]\nname = \"add_task\"\ndescription = \"x\"\n", 3, 8, "another tool"),
    ("[agents.a]\n[[agents.a.client_tools]]\nname = \"x\"\n", 2, 1, "missing field `description`"),
    (
        "[agents.a]\n[[agents.a.client_tools]]\nname = \"x\"\ndescription = \"x\"\nparameters = '{'\n",
        5,
        14,
        "this is not JSON",
    ),
    (
        "[agents.a]\n[[agents.a.client_tools]]\nname = \"x\"\ndescription = \"x\"\nparameters = { type = \"array\" }\n",
        5,
        14,
        "must be \"object\"",
    ),
    ("[agents.a]\n[models.x]\ninput_per_million = -1\noutput_per_million = 1\n", 3, 21, "a price is a number"),
    ("[agents.a]\n[models.x]\ninput_per_million = nan\noutput_per_million = 1\n", 3, 21, "a price is a number"),
    ("[agents.a]\n[models.x]\ninput_per_million = 1\n", 2, 9, "`output_per_million` is missing"),
    ("[agents.a]\n[models.x]\noutput_per_million = 1\n", 2, 9, "`input_per_million` is missing"),
    ("[agents.a]\n[models.x]\ncontext_tokens = 4\n", 3, 18, "not from 256 to 100000000"),
    ("[agents.a]\n[models.x.dialect]\nbase = \"gemni\"\n", 3, 8, "there are: openai, azure"),
    ("[agents.a]\n[models.x.dialect]\nsistem = \"user\"\n", 3, 1, "it has: base, system"),
    ("[agents.a]\n[models.x.dialect]\nsystem = \"usr\"\n", 3, 10, "system, developer or user"),
    ("[agents.a]\n[models.x.dialect]\ntools = 1\n", 3, 9, "true or false"),
    ("[agents.a]\n[models.x.dialect]\nomit = [\"flavour\"]\n", 3, 8, "a list of temperature"),
    ("[agents.a]\n[mcp.x]\n", 2, 6, "a `command` or a `url`"),
    ("[agents.a]\n[mcp.x]\ncommand = \"y\"\nurl = \"http://z\"\n", 4, 7, "keep one of the two"),
    ("[agents.a]\n[mcp.x]\nurl = \"http://z\"\nuser_context = \"yes\"\n", 4, 16, "expected a boolean"),
    ("[agents.a]\n[mcp.x]\nurl = \"http://z\"\nargs = [\"a\"]\n", 4, 8, "does not go with"),
    ("[agents.a]\n[mcp.x]\nurl = \"ftp://me:hunter2@z\"\n", 3, 7, "begin with http://"),
    ("[agents.a]\n[mcp.x]\ncommand = \"y\"\nenv = { A = { env = \"NONE\" } }\n", 4, 9, "NONE is not set"),
    ("[agents.a]\n[mcp.x]\ncommand = \"y\"\nenv = { A = 1 }\n", 4, 13, "expected text, or { env"),
    ("[agents.a]\n[mcp.x]\nurl = \"http://z\"\nheaders = { \"a b\" = \"c\" }\n", 4, 13, "not the name of a header"),
    ("[agents.a]\n[mcp.x]\nurl = \"http://z\"\nheaders = { a = \"hunter2\\n\" }\n", 4, 13, "has invalid characters"),
    ("[agents.a]\n[mcp.a-name-of-more-than-thirty-two-letters]\ncommand = \"y\"\n", 2, 6, "at most 32"),
    (
        "[agents.a]\n[tools.x]\nkind = \"soap\"\nurl = \"http://z\"\ndescription = \"x\"\n",
        3,
        8,
        "\"http\" or \"jsonrpc\"",
    ),
    (
        "[agents.a]\n[tools.x]\nkind = \"jsonrpc\"\nurl = \"http://z\"\ndescription = \"x\"\n",
        2,
        8,
        "`method` is missing",
    ),
    (
        "[agents.a]\n[tools.list_tasks]\nkind = \"http\"\nurl = \"http://z\"\ndescription = \"x\"\n",
        2,
        8,
        "built-in tool",
    ),
    (
        "[agents.a]\n[tools.x]\nkind = \"http\"\nurl = \"http://z\"\ndescription = \"x\"\nmethod = \"get\"\n",
        6,
        10,
        "not GET, POST",
    ),
    (
        "[agents.a]\n[tools.x]\nkind = \"http\"\nurl = \"http://z/{id}\"\ndescription = \"x\"\n",
        4,
        7,
        "{id} is not among",
    ),
    (
        "[agents.a]\n[tools.x]\nkind = \"http\"\nurl = \"http://z/a{id}\"\ndescription = \"x\"\n",
        4,
        7,
        "a whole segment",
    ),
    (
        "[agents.a]\n[tools.x]\nkind = \"http\"\nurl = \"http://z\"\ndescription = \"x\"\nuser_context = { env = \"TOKEN\" }\n",
        6,
        24,
        "fewer than 32 bytes",
    ),
    (
        "[agents.a]\n[tools.x]\nkind = \"http\"\nurl = \"http://z\"\ndescription = \"x\"\nparameters = { type = \"object\", properties = 7 }\n",
        6,
        14,
        "not a JSON Schema",
    ),
    (
        "[agents.a]\n[tools.x]\nkind = \"http\"\nurl = \"http://z\"\ndescription = \"x\"\nparameters = { type = \"object\", \"$ref\" = \"https://elsewhere.example/schema\" }\n",
        6,
        14,
        "not a JSON Schema",
    ),
];

#[test]
fn an_error_has_line_and_column_and_no_secrets() {
    let mut failures = Vec::new();
    for (text, line, column, words) in INVALID {
        let error = read(text).expect_err(text).to_string();
        let is_right = error.contains(&format!("agents.toml:{line}:{column}: ")) && error.contains(words);
        if !is_right || error.lines().count() != 1 || error.contains("hunter2") {
            failures.push(format!("{text}{error}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn a_missing_file_is_an_error() {
    let error = AgentsConfig::read("/no/such/agents.toml".as_ref(), &|_| None).unwrap_err();
    assert!(error.to_string().starts_with("/no/such/agents.toml:1:1: the file cannot be read"), "{error}");
}

#[test]
fn the_manual_explains_every_key() {
    let manual = include_str!("../../../../docs/AGENTS.md");
    let client = "[agents.a]\n[[agents.a.client_tools]]\n";
    let endpoint = "[tools.x]\nkind = \"http\"\nurl = \"http://z\"\ndescription = \"x\"\n";
    for table in [
        "",
        "[agents.a]\n",
        client,
        "[models.x]\n",
        "[mcp.x]\n",
        "[tools.x]\n",
        &format!("{endpoint}[tools.x.user_context]\n"),
    ] {
        let problem = read(&format!("{table}no_such_key = 1\n")).unwrap_err().problem;
        let (_, keys) = problem.split_once("expected ").expect(&problem);
        let keys: Vec<_> = keys.split('`').skip(1).step_by(2).collect();
        assert!(keys.len() >= 2, "{problem}");
        for key in keys {
            let written = [format!("`{key}`"), format!("[{key}.NAME]"), format!("{{ {key} ="), format!(", {key} =")];
            assert!(written.iter().any(|written| manual.contains(written)), "{key} of {table} is not explained");
        }
    }
}

#[test]
fn budget_classes_are_read() {
    let config =
        read("[agents.a]\n[budget_classes.free]\nbudget_tokens_per_day = 7\nuser_budget_cost_per_day = 0.5\n").unwrap();
    let class = &config.budget_classes["free"];
    assert_eq!(&*class.name, "free");
    assert_eq!((class.all.tokens, class.all.cost_micros), (Some(7), None));
    assert_eq!((class.user.tokens, class.user.cost_micros), (None, Some(500_000)));
    for wrong in ["budget_tokens_per_day = 0", "cost = 1", "user_budget_cost_per_day = -1.0"] {
        let error = read(&format!("[agents.a]\n[budget_classes.free]\n{wrong}\n")).unwrap_err();
        assert_eq!(error.line, 3, "{error}");
    }
    assert!(read("[agents.a]\n[budget_classes.\"a b\"]\n").is_err());
}

#[test]
fn a_retention_is_days_or_for_good() {
    let of = |line: &str| read(&format!("[agents.a]\n{line}\n")).map(|config| config.agents["a"].retention);
    assert_eq!(of(""), Ok(Retention::OfService));
    assert_eq!(of("retention_days = 0"), Ok(Retention::ForGood));
    assert_eq!(of("retention_days = 2"), Ok(Retention::For(Duration::from_secs(2 * 86_400))));
    assert!(of("retention_days = 40000").is_err() && of("retention_days = -1").is_err());
}

#[test]
fn a_pin_is_a_fingerprint() {
    let pin = format!("sha256:{}", "0a".repeat(32));
    let server = |line: &str| read(&format!("[agents.a]\n[mcp.s]\ncommand = \"x\"\n{line}\n"));
    let config = server(&format!("pin = \"{pin}\"\ntools = [\"read\"]")).unwrap();
    assert_eq!(config.mcp["s"].pin.as_deref(), Some(&*pin));
    assert_eq!(config.mcp["s"].only.as_deref().map(<[_]>::len), Some(1));
    let error = server("pin = \"sha256:12\"").unwrap_err();
    assert!(error.line == 4 && error.problem.contains("threadline doctor"), "{error}");
    assert!(server("tools = [\"\"]").is_err());
}
