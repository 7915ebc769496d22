// Widgets: trees of components. An unknown component shows its children, or its text.

import { element } from "./dom.js";
import { formatted } from "./format.js";
import { icon } from "./icons.js";

/** Pixels per step of ChatKit's scale of sizes. */
const STEP_PX = 4;

const DRAW = {
  Badge: ({ label, color }) => element("span", { class: `badge ${color ?? "secondary"}` }, label),
  Basic: (component, context) => drawBox(component, context, component.direction),
  Box: (component, context) => drawBox(component, context, component.direction),
  Button: drawButton,
  Caption: ({ value }) => element("small", { class: "text" }, value),
  Card: drawCard,
  Chart: drawChart,
  Checkbox: drawCheckbox,
  Col: (component, context) => drawBox(component, context, "col"),
  DatePicker: (component, context) => drawInput({ ...component, inputType: "date" }, context),
  Divider: () => element("hr"),
  Form: drawForm,
  Icon: ({ name }) => icon(name),
  Image: drawImage,
  Input: drawInput,
  Label: ({ value, fieldName }, context) => element("label", { for: context.field(fieldName) }, value),
  ListView: drawList,
  ListViewItem: drawRow,
  Markdown: ({ value }) => formatted(value),
  RadioGroup: drawRadioGroup,
  Row: (component, context) => drawBox(component, context, "row"),
  Select: drawSelect,
  Spacer: () => element("span", { class: "spacer" }),
  Text: drawText,
  Textarea: ({ name, defaultValue, placeholder, rows, disabled, required }, context) =>
    element("textarea", { id: context.field(name), name, placeholder, rows, disabled, required }, defaultValue ?? ""),
  Title: ({ value }) => element("h3", { class: "text" }, value),
};

/** Draws a widget item. While one of its actions runs, no other can be triggered. `handlers.act` runs an action. */
export function drawWidget(item, handlers) {
  const root = element("div", { class: "widget" });
  const act = async (action, values = {}) => {
    root.inert = true;
    root.setAttribute("aria-busy", "true");
    // The values of a form are added to the payload of the action.
    const payload = Object.keys(values).length > 0 ? { ...action.payload, ...values } : action.payload;
    await handlers.act(item, { ...action, payload });
    root.inert = false;
    root.removeAttribute("aria-busy");
  };
  root.append(draw(item.widget, { act, field: (name) => `${item.id}-${name}` }));
  return root;
}

function draw(component, context) {
  return DRAW[component.type]?.(component, context) ?? drawUnknown(component, context);
}

function drawAll(children, context) {
  return [children ?? []].flat().map((child) => draw(child, context));
}

function drawUnknown({ children, value, label, text }, context) {
  return element("div", { class: "box col" }, value ?? label ?? text, drawAll(children, context));
}

function drawBox({ children, gap, align, justify, wrap }, context, direction) {
  const node = element("div", { class: `box ${direction === "row" ? "row" : "col"}` }, drawAll(children, context));
  // Set one by one, so that a value can only set its own property.
  if (gap !== undefined) node.style.gap = length(gap);
  if (align) node.style.alignItems = align;
  if (justify) node.style.justifyContent = justify === "between" ? "space-between" : justify;
  if (wrap) node.style.flexWrap = wrap;
  return node;
}

function drawCard({ children, status, confirm, cancel, asForm }, context) {
  const content = [status && element("p", { class: "status" }, status.text), drawAll(children, context)];
  const buttons = [cardButton(cancel, "button", context), cardButton(confirm, "submit", context)];
  const footer = (confirm || cancel) && element("div", { class: "buttons" }, buttons);
  return asForm
    ? formOf(confirm?.action, context, [content, footer])
    : element("div", { class: "card" }, content, footer);
}

function cardButton(button, type, context) {
  if (!button) return null;
  const click = ({ currentTarget }) =>
    (type === "button" || !currentTarget.form) && runAction(button.action, context, currentTarget);
  return element("button", { type, class: type === "submit" ? "primary" : "", click }, button.label);
}

function drawForm({ children, onSubmitAction }, context) {
  return formOf(onSubmitAction, context, drawAll(children, context));
}

function formOf(action, context, content) {
  const submit = (event) => {
    event.preventDefault();
    runAction(action, context, event.currentTarget);
  };
  return element("form", { class: "card", submit }, content);
}

function drawList({ children, limit, status }, context) {
  const rows = drawAll(children, context);
  const hidden = Number.isInteger(limit) ? rows.slice(limit) : [];
  for (const row of hidden) row.hidden = true;
  const more = ({ currentTarget }) => {
    for (const row of hidden) row.hidden = false;
    currentTarget.remove();
  };
  return element(
    "div",
    { class: "card list" },
    status && element("p", { class: "status" }, status.text),
    element("ul", {}, rows),
    hidden.length > 0 && element("button", { type: "button", click: more }, `Show ${hidden.length} more`),
  );
}

/** Draws a row. A row with an action is a button, so it can be used with the keyboard. */
function drawRow({ children, onClickAction: action }, context) {
  const content = drawAll(children, context);
  if (!action) return element("li", { class: "list-row" }, content);
  const click = ({ currentTarget }) => runAction(action, context, currentTarget);
  return element(
    "li",
    {},
    element("button", { type: "button", class: "list-row", disabled: isClientAction(action), click }, content),
  );
}

function drawButton({ label, submit, onClickAction: action, iconStart, iconEnd, style, color, disabled }, context) {
  const isPrimary = style === "primary" || color === "primary";
  const click = ({ currentTarget }) => action && runAction(action, context, currentTarget);
  return element(
    "button",
    {
      type: submit ? "submit" : "button",
      class: isPrimary ? "primary" : "",
      disabled: disabled || isClientAction(action),
      click,
    },
    iconStart && icon(iconStart),
    label,
    iconEnd && icon(iconEnd),
  );
}

function drawCheckbox({ name, label, defaultChecked, onChangeAction, disabled, required }, context) {
  const attributes = { type: "checkbox", name, value: "true", checked: defaultChecked, disabled, required };
  const change = ({ currentTarget }) =>
    onChangeAction && runAction(onChangeAction, context, currentTarget, { [name]: currentTarget.checked });
  return element("label", { class: "choice" }, element("input", { ...attributes, change }), label);
}

function drawRadioGroup({ name, options, ariaLabel, defaultValue, onChangeAction, disabled }, context) {
  const change = ({ currentTarget }) =>
    onChangeAction && runAction(onChangeAction, context, currentTarget, { [name]: currentTarget.value });
  const radio = (option) => {
    const isOff = disabled || option.disabled;
    const attributes = {
      type: "radio",
      name,
      value: option.value,
      checked: option.value === defaultValue,
      disabled: isOff,
    };
    return element("label", { class: "choice" }, element("input", { ...attributes, change }), option.label);
  };
  return element("fieldset", { "aria-label": ariaLabel }, (options ?? []).map(radio));
}

function drawSelect({ name, options, defaultValue, placeholder, onChangeAction, disabled }, context) {
  const change = ({ currentTarget }) =>
    onChangeAction && runAction(onChangeAction, context, currentTarget, { [name]: currentTarget.value });
  const choices = options.map(({ value, label, disabled: isOff }) =>
    element("option", { value, disabled: isOff, selected: value === defaultValue }, label),
  );
  const none = element("option", { value: "" }, placeholder ?? "");
  return element("select", { id: context.field(name), name, disabled, change }, none, choices);
}

function drawInput({ name, inputType, defaultValue, placeholder, pattern, required, disabled }, context) {
  const attributes = { type: inputType ?? "text", value: defaultValue, placeholder, pattern, required, disabled };
  return element("input", { id: context.field(name), name, ...attributes });
}

function drawText({ value, lineThrough, italic, weight }) {
  const node = element("span", { class: `text ${weight ?? ""}` }, value);
  const struck = lineThrough ? element("s", {}, node) : node;
  return italic ? element("em", {}, struck) : struck;
}

function drawImage({ src, alt, width, height, size }) {
  const node = element("img", { src, alt: alt ?? "", loading: "lazy" });
  if (width ?? size) node.style.width = length(width ?? size, 1);
  if (height ?? size) node.style.height = length(height ?? size, 1);
  return node;
}

/** Draws a chart as a table of its data, which screen readers can read too. */
function drawChart({ data, series, xAxis }) {
  const key = xAxis.dataKey ?? xAxis;
  const columns = [{ dataKey: key, label: "" }, ...series];
  const row = (values) => element("tr", {}, values);
  return element(
    "table",
    {},
    row(columns.map(({ label, dataKey }) => element("th", { scope: "col" }, label ?? dataKey))),
    data.map((point) =>
      row(
        columns.map(({ dataKey }) => element("td", {}, String(xAxis.labels?.[point[dataKey]] ?? point[dataKey] ?? ""))),
      ),
    ),
  );
}

/** Runs an action, with the values of the form around the control. */
function runAction(action, context, control, values = {}) {
  if (!action || isClientAction(action)) return;
  const form = control.closest("form");
  context.act(action, { ...(form ? Object.fromEntries(new FormData(form)) : {}), ...values });
}

/** Returns whether the front end must handle the action by itself. This page has no such actions. */
function isClientAction(action) {
  return action?.handler === "client";
}

function length(value, step = STEP_PX) {
  return typeof value === "number" ? `${value * step}px` : value;
}
