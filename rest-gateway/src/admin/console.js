// The console: signs an operator in, and shows one part at a time, page by page. It sends requests only when the
// operator acts.

import { usageChart } from "./chart.js";
import { byId, element } from "./dom.js";
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

const select = makeTabs(byId("tabs"), byId("panel"), PARTS, (key) => {
  part = PARTS.find((known) => known.key === key);
  byId("search").hidden = !part.search;
  load();
});

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

/** Shows the first page of a part. */
async function load() {
  after = null;
  const columns = [...part.columns.map(([title]) => title), ...(part.act ? ["Action"] : [])];
  body = element("tbody");
  const head = element("tr", {}, columns.map((title) => element("th", { scope: "col" }, title)));
  byId("scroll").replaceChildren(element("table", {}, element("caption", { class: "hidden" }, part.title), element("thead", {}, head), body));
  byId("chart").replaceChildren();
  byId("more").hidden = true;
  await next();
}

/** Adds the next page. */
async function next() {
  const number = (newest += 1);
  byId("status").textContent = "Loading …";
  fail(null);
  try {
    const isPaged = !["usage", "settings"].includes(part.list);
    const params = isPaged ? { limit: PAGE, after, email_prefix: part.search && byId("prefix").value.trim() } : {};
    const { data, meta } = await list(part.list, params);
    if (number !== newest) return;
    const rows = data.days ?? data.settings ?? data;
    body.append(...rows.map(row));
    if (part.chart) byId("chart").replaceChildren(...[usageChart(rows)].filter(Boolean));
    after = meta?.has_more ? meta.after : null;
    byId("more").hidden = after === null;
    byId("status").textContent = counted(body.rows.length);
  } catch (error) {
    if (number === newest) fail(error);
  }
}

function counted(rows) {
  if (rows === 0) return part.none;
  return rows === 1 ? "1 row" : `${rows} rows`;
}

function row(entry) {
  const cells = part.columns.map(([, cell]) => element("td", {}, cell(entry)));
  if (part.act) {
    const { label, path, confirm: words } = part.act(entry);
    cells.push(element("td", {}, element("button", { click: () => act(path, words), "aria-label": words }, label)));
  }
  return element("tr", {}, cells);
}

async function act(path, words) {
  if (!confirm(words)) return;
  try {
    await change(path);
    await load();
  } catch (error) {
    fail(error);
  }
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
});
byId("sign-out").addEventListener("click", signOut);
document.addEventListener("signed-out", show);
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  load();
});
byId("reload").addEventListener("click", () => {
  load();
  showHealth();
});
byId("more").addEventListener("click", next);
show();
