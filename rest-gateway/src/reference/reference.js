// The API reference: a viewer that shows `/openapi.json`, in the colours that the system asks for.
import "./explorer.js";

const LIGHT = {
  "bg-color": "#ffffff",
  "text-color": "#24292f",
  "header-bg-color": "#e4ebf1",
  "nav-bg-color": "#f3f5f7",
  "nav-text-color": "#24292f",
  "primary-color": "#0b62a3",
  "secondary-color": "#0b62a3",
};
const DARK = {
  "bg-color": "#16191d",
  "text-color": "#dde3ea",
  "header-bg-color": "#1d2228",
  "nav-bg-color": "#1d2228",
  "nav-text-color": "#dde3ea",
  "primary-color": "#6cb6ff",
  "secondary-color": "#6cb6ff",
};

const explorer = document.createElement("openapi-explorer");
const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => {
  for (const [name, value] of Object.entries(dark.matches ? DARK : LIGHT)) explorer.setAttribute(name, value);
};
dark.addEventListener("change", paint);
paint();
// Relative to the page, so that a proxy can serve the service under a path prefix.
const root = new URL("..", document.baseURI);
explorer.setAttribute("spec-url", new URL("openapi.json", root).href);
explorer.setAttribute("server-url", root.href.replace(/\/$/, ""));
explorer.setAttribute("collapse", "");
explorer.setAttribute("schema-expand-level", "2");
document.body.append(explorer);
openByKeyboard(explorer);

/**
 * Makes what opens by a click open by the keyboard too: on a narrow screen, the viewer shows groups and operations under
 * heads that take no focus.
 */
function openByKeyboard({ shadowRoot }) {
  const HEADS = ".section-tag-header, .endpoint-head";
  const mark = () => {
    for (const head of shadowRoot.querySelectorAll(HEADS)) {
      head.tabIndex = 0;
      head.role = "button";
      head.ariaExpanded = String(head.closest(".expanded, .collapsed")?.matches(".expanded") ?? false);
    }
  };
  new MutationObserver(mark).observe(shadowRoot, { childList: true, subtree: true, attributeFilter: ["class"] });
  shadowRoot.addEventListener("keydown", (event) => {
    if (!event.target.matches(HEADS) || !["Enter", " "].includes(event.key)) return;
    event.preventDefault();
    event.target.click();
  });
}
