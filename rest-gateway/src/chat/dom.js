// Making elements. Whatever was said by a user or a model goes through here as text: nothing reads markup.

/**
 * An element. Attributes that are functions become listeners; `true` is an attribute without a value, and one that is
 * false or missing is left out, like such a child.
 */
export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(key, value);
    else if (isThere(value)) node.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) if (isThere(child)) node.append(child);
  return node;
}

/** The element of the page with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** A link to the web, or the label alone when the address leads elsewhere: `javascript:` is one as well. */
export function webLink(address, label, attributes = {}) {
  const url = URL.canParse(address) ? new URL(address) : null;
  if (!["https:", "http:"].includes(url?.protocol)) return element("span", attributes, label);
  return element("a", { ...attributes, href: url.href, target: "_blank", rel: "noopener noreferrer" }, label);
}

function isThere(value) {
  return value !== null && value !== undefined && value !== false;
}
