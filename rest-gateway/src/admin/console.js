// The console: signs an operator in, and shows one part at a time, page by page. It sends requests only when the
// operator acts.

import { byId, element } from "./dom.js";
import { fillChoices, makeFields, valuesOf } from "./fields.js";
import { change, health, isSignedIn, list, signIn, signOut } from "./server.js";
import { handleSignIn } from "./sign-in.js";
import { PARTS } from "./tables.js";
import { makeTabs } from "./tabs.js";

const PAGE = 50;

let part = PARTS[0];
let after = null;
let body = null;
// Number of the newest request. The response to an older one is not shown.
let newest = 0;

const select = makeTabs(byId("tabs"), byId("panel"), PARTS, open);

function show() {
  byId("entrance").hidden = isSignedIn();
  byId("console").hidden = !isSignedIn();
  if (isSignedIn()) {
    select(part.key);
    showHealth();
  } else {
    byId("email").focus();
  }
}

async function showHealth() {
  try {
    const { status } = await health();
    byId("health").textContent = `Service: ${status}`;
  } catch {
    byId("health").textContent = "Service: cannot be reached";
  }
}

/** Shows a part, with these values of its fields. */
function open(key, values) {
  part = PARTS.find((known) => known.key === key);
  const fields = part.fields ?? [];
  byId("search").hidden = fields.length === 0;
  byId("search").replaceChildren(...makeFields(fields, values, "filter"), element("button", {}, "Search"));
  byId("create").hidden = !part.create;
  if (part.create) {
    const { title, fields: wanted } = part.create;
    byId("create").replaceChildren(element("h2", {}, title), ...makeFields(wanted, {}, "new"), element("button", { class: "primary" }, title));
  }
  byId("whole").replaceChildren(...(part.whole ?? []).map(button));
  tell(null);
  return load();
}

/** Shows the first page of the part. */
async function load() {
  after = null;
  const columns = [...part.columns.map(([title]) => title), ...(part.acts ? ["Actions"] : [])];
  body = element("tbody");
  const head = element("tr", {}, columns.map((title) => element("th", { scope: "col" }, title)));
  byId("scroll").replaceChildren(element("table", {}, element("caption", { class: "hidden" }, part.title), element("thead", {}, head), body));
  byId("charts").replaceChildren();
  byId("more").hidden = true;
  await next();
}

/** Adds the next page. */
async function next() {
  const number = (newest += 1);
  const isFirst = after === null;
  byId("status").textContent = "Loading …";
  fail(null);
  const values = valuesOf(byId("search"));
  const path = part.path(values);
  if (!path) {
    byId("status").textContent = part.ask;
    return;
  }
  for (const name of part.inPath ?? []) delete values[name];
  try {
    const above = isFirst && part.above ? await part.above(list) : [];
    const { data, meta } = await list(path, part.isWhole ? values : { ...values, limit: part.limit?.(values) ?? PAGE, after });
    if (number !== newest) return;
    const rows = part.isWhole ? part.rows(data) : data;
    body.append(...rows.map(row));
    if (isFirst) byId("charts").replaceChildren(...[...above, ...(part.charts?.(data, values) ?? [])].filter(Boolean));
    fillChoices(byId("search"), part.fields ?? [], data);
    after = meta?.has_more ? meta.after : null;
    const more = byId("more");
    // A button that disappears would take the focus with it.
    if (after === null && document.activeElement === more) byId("scroll").focus();
    more.hidden = after === null;
    count();
  } catch (error) {
    if (number === newest) fail(error);
  }
}

/** Says how many rows are shown. */
function count() {
  const { length } = body.rows;
  byId("status").textContent = length === 0 ? part.none : length === 1 ? "1 row" : `${length} rows`;
}

function row(entry) {
  const cells = part.columns.map(([, cell]) => element("td", {}, cell(entry)));
  if (part.acts) cells.push(element("td", {}, element("div", { class: "acts" }, part.acts(entry).map(button))));
  return element("tr", {}, cells);
}

function button(act) {
  const click = ({ currentTarget }) => perform(act, currentTarget);
  return element("button", { click, "aria-label": act.words }, act.label);
}

async function perform({ words, confirm: mustConfirm, ask, open: target, method = "POST", path, body: bodyOf, removes }, pressed) {
  if (mustConfirm && !confirm(words)) return;
  const answer = ask === undefined ? null : prompt(words, ask);
  if (ask !== undefined && answer === null) return;
  if (target) {
    select(target[0], target[1]);
    byId("panel").focus();
    return;
  }
  try {
    const { data } = await change(method, path, bodyOf ? bodyOf(answer) : {});
    const old = pressed.closest("tr");
    if (old === null) await load();
    else if (old.isConnected) replace(old, pressed, removes ? null : data);
  } catch (error) {
    fail(error);
  }
}

/**
 * Replaces a row by that of the changed entry, or removes it. The other rows stay, and the focus stays at the same button,
 * or goes to that of a row beside it.
 */
function replace(old, pressed, entry) {
  const hadFocus = old.contains(document.activeElement);
  const at = [...old.querySelectorAll("button")].indexOf(pressed);
  const fresh = entry && row(entry);
  const beside = fresh ?? old.nextElementSibling ?? old.previousElementSibling;
  if (fresh) old.replaceWith(fresh);
  else old.remove();
  fail(null);
  count();
  if (hadFocus) (beside?.querySelectorAll("button")[at] ?? byId("scroll")).focus();
  if (body.rows.length === 0 && after !== null) load();
}

async function create() {
  const { path, body: bodyOf, told, keeps } = part.create;
  try {
    const { data } = await change("POST", path, bodyOf(valuesOf(byId("create"))));
    if (!keeps) {
      byId("create").reset();
      await load();
    }
    fail(null);
    tell(told(data));
  } catch (error) {
    fail(error);
  }
}

/** Shows what was made, or nothing. */
function tell(words) {
  byId("notice").hidden = !words;
  byId("notice").textContent = words ?? "";
}

/** Shows a problem, or none. If the token was refused, the form to sign in says so. */
function fail(error) {
  byId("problem").hidden = !error;
  byId("problem").textContent = error?.message ?? "";
  if (error) byId("status").textContent = "";
  if (error?.status === 401) byId("sign-in-problem").textContent = error.message;
}

handleSignIn(async (credentials) => {
  await signIn(credentials);
  byId("sign-in").reset();
  show();
  // The field that had the focus is not shown any more.
  byId("panel").focus();
});
byId("sign-out").addEventListener("click", signOut);
document.addEventListener("signed-out", show);
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  load();
});
byId("create").addEventListener("submit", (event) => {
  event.preventDefault();
  create();
});
byId("reload").addEventListener("click", () => {
  load();
  showHealth();
});
byId("more").addEventListener("click", next);
show();
