// The fields of filters and of forms.

import { element } from "./dom.js";

/** Returns fields, each a label and a control, with values. The choices of a list come later: see `fillChoices`. */
export function makeFields(fields, values, prefix) {
  return fields.map(({ name, id, label, choices, isLong, ...attributes }) => {
    const identifier = id ?? `${prefix}-${name}`;
    const control = element(choices ? "select" : isLong ? "textarea" : "input", { id: identifier, name, autocomplete: "off", ...attributes });
    if (choices) setChoices(control, values[name] ? [values[name]] : [], values[name]);
    else if (attributes.type === "checkbox") control.checked = Boolean(values[name]);
    else control.value = values[name] ?? attributes.value ?? "";
    const kind = isLong ? "long" : attributes.type;
    return element("div", { class: `field ${kind ?? ""}` }, element("label", { for: identifier }, label), control);
  });
}

/** Fills the lists of a form with what there is in a response. What was chosen stays chosen. */
export function fillChoices(form, fields, data) {
  for (const { name, choices } of fields) {
    const control = form.elements[name];
    if (choices && control) setChoices(control, choices(data), control.value);
  }
}

/** Returns the values of a form without the empty ones. */
export function valuesOf(form) {
  const entries = [...new FormData(form)].map(([name, value]) => [name, value.trim()]);
  return Object.fromEntries(entries.filter(([, value]) => value));
}

function setChoices(control, choices, chosen) {
  const all = chosen && !choices.includes(chosen) ? [chosen, ...choices] : choices;
  control.replaceChildren(element("option", { value: "" }, "all"), ...all.map((choice) => element("option", { value: choice }, choice)));
  control.value = chosen ?? "";
}
