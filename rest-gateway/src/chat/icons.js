// Icons as paths: the page loads nothing from other servers.

import { element } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const CIRCLE = "M12 3a9 9 0 1 0 0 18 9 9 0 1 0 0-18";

/** Paths in a box of 24 by 24, drawn as lines. The names are those of ChatKit, and some that only this page uses. */
const PATHS = {
  "book-open": "M12 6c-2-1.5-5-2-9-2v14c4 0 7 .5 9 2 2-1.5 5-2 9-2V4c-4 0-7 .5-9 2zm0 0v14",
  "check-circle": `${CIRCLE}M8 12l3 3 5-6`,
  "chevron-left": "M15 5l-7 7 7 7",
  "chevron-right": "M9 5l7 7-7 7",
  "circle-question": `${CIRCLE}M9.5 9.5a2.5 2.5 0 1 1 3.5 2.3c-.7.3-1 .8-1 1.7M12 17v.01`,
  "dots-horizontal": "M6 12h.01M12 12h.01M18 12h.01",
  "empty-circle": CIRCLE,
  "external-link": "M14 4h6v6M20 4l-9 9M18 14v5H5V6h5",
  "map-pin": "M12 21s7-6.5 7-11a7 7 0 1 0-14 0c0 4.5 7 11 7 11zm0-13a2 2 0 1 0 0 4 2 2 0 1 0 0-4",
  attach: "M20 11l-8.5 8.5a5 5 0 0 1-7-7L13 4a3.3 3.3 0 0 1 4.7 4.7L9.5 17a1.7 1.7 0 0 1-2.4-2.4L14.5 7",
  bolt: "M13 3L5 14h6l-1 7 8-11h-6z",
  bug: "M8 9a4 4 0 0 1 8 0v6a4 4 0 0 1-8 0zM4 7l4 3M20 7l-4 3M3 13h5M21 13h-5M4 20l4-3M20 20l-4-3",
  calendar: "M4 6h16v14H4zM4 10h16M8 3v4M16 3v4",
  chart: "M4 20V4M4 20h16M9 16v-5M13 16V8M17 16v-3",
  check: "M5 12l5 5 9-11",
  clock: `${CIRCLE}M12 7v5l3 3`,
  copy: "M9 9h11v11H9zM15 9V4H4v11h5",
  desktop: "M3 4h18v12H3zM9 20h6M12 16v4",
  document: "M6 3h8l4 4v14H6zM14 3v4h4M9 12h6M9 16h6",
  globe: `${CIRCLE}M3 12h18M12 3c5 5 5 13 0 18M12 3c-5 5-5 13 0 18`,
  info: `${CIRCLE}M12 11v5M12 8v.01`,
  keys: "M8 11a4 4 0 1 0 0 8 4 4 0 1 0 0-8M11 12l9-9M17 6l3 3",
  lightbulb: "M9 18h6M10 21h4M8 14a6 6 0 1 1 8 0c-.7.7-1 1.3-1 2H9c0-.7-.3-1.3-1-2z",
  mail: "M3 5h18v14H3zM3 6l9 7 9-7",
  menu: "M4 6h16M4 12h16M4 18h16",
  notebook: "M6 3h13v18H6zM6 3v18M3 7h3M3 12h3M3 17h3M10 8h5",
  phone: "M5 3h4l2 5-2.5 1.5a11 11 0 0 0 6 6L16 13l5 2v4a2 2 0 0 1-2 2A16 16 0 0 1 3 5a2 2 0 0 1 2-2z",
  play: "M7 4l12 8-12 8z",
  plus: "M12 5v14M5 12h14",
  reload: "M20 5v5h-5M19.5 10a8 8 0 1 0 .5 4",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 1 0 0-14M16 16l5 5",
  send: "M12 20V5M5 11l7-7 7 7",
  sparkle: "M12 3l2 7 7 2-7 2-2 7-2-7-7-2 7-2z",
  star: "M12 3l2.7 6 6.3.7-4.7 4.3 1.3 6.5L12 17l-5.6 3.5L7.7 14 3 9.7 9.3 9z",
  stop: "M7 7h10v10H7z",
  suitcase: "M3 8h18v12H3zM8 8V4h8v4M3 13h18",
  thumbsDown: "M7 14V4H4v10zm0 0l4 7c1.5 0 2.5-1 2.5-2.5V15H19a2 2 0 0 0 2-2.3l-1-6.7a2 2 0 0 0-2-2H7",
  thumbsUp: "M7 10v10H4V10zm0 0l4-7c1.5 0 2.5 1 2.5 2.5V9H19a2 2 0 0 1 2 2.3L20 18a2 2 0 0 1-2 2H7",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13",
  user: "M12 4a4 4 0 1 0 0 8 4 4 0 1 0 0-8M4 21c0-4 3.5-6 8-6s8 2 8 6",
  write: "M4 20l1-5L16 4l4 4L9 19zM14 6l4 4",
};

/** Names that share the path of another name. */
const ALIASES = {
  "book-clock": "book-open",
  "book-closed": "notebook",
  "check-circle-filled": "check-circle",
  "notebook-pencil": "write",
  "page-blank": "document",
  "settings-slider": "menu",
  "sparkle-double": "sparkle",
  "square-text": "document",
  "star-filled": "star",
  "write-alt": "write",
  "write-alt2": "write",
  analytics: "chart",
  maps: "map-pin",
  mobile: "phone",
  name: "user",
  profile: "user",
  "profile-card": "user",
};

/** Makes the icon of this name, for decoration; a dot if the name is unknown. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", name?.endsWith("-filled") ? "icon filled" : "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[ALIASES[name] ?? name] ?? "M12 12h.01");
  svg.append(path);
  return svg;
}

/** Makes a button with an icon. Its label is shown as a tooltip and read by screen readers. */
export function iconButton(name, label, attributes = {}) {
  return element(
    "button",
    { type: "button", class: "icon-button", "aria-label": label, title: label, ...attributes },
    icon(name),
  );
}
