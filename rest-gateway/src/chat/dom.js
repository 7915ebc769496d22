// Makes elements. Text of users and models is only ever added as text, never parsed as markup.

/**
 * Makes an element. An attribute that is a function becomes a listener, and `true` an attribute without a value.
 * Attributes and children that are false, null or undefined are skipped.
 */
export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(key, value);
    else if (isPresent(value)) node.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) if (isPresent(child)) node.append(child);
  return node;
}

/** Returns the element with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Makes a link, or only shows the label if the URL is not http(s), such as `javascript:`. */
export function webLink(address, label, attributes = {}) {
  const url = URL.canParse(address) ? new URL(address) : null;
  if (!["https:", "http:"].includes(url?.protocol)) return element("span", attributes, label);
  return element("a", { ...attributes, href: url.href, target: "_blank", rel: "noopener noreferrer" }, label);
}

function isPresent(value) {
  return value !== null && value !== undefined && value !== false;
}
