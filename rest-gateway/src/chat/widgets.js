// Widgets: trees of components. One that is not known here shows its children, or its words.

import { element } from "./dom.js";
import { formatted } from "./format.js";
import { icon } from "./icons.js";

/** What the steps of the protocol's scale of sizes stand for. */
const STEP = 4;

const DRAWN = {
  Badge: ({ label, color }) => element("span", { class: `badge ${color ?? "secondary"}` }, label),
  Basic: (component, does) => drawBox(component, does, component.direction),
  Box: (component, does) => drawBox(component, does, component.direction),
  Button: drawButton,
  Caption: ({ value }) => element("small", { class: "text" }, value),
  Card: drawCard,
  Chart: drawChart,
  Checkbox: drawCheckbox,
  Col: (component, does) => drawBox(component, does, "col"),
  DatePicker: (component, does) => drawInput({ ...component, inputType: "date" }, does),
  Divider: () => element("hr"),
  Form: drawForm,
  Icon: ({ name }) => icon(name),
  Image: drawImage,
  Input: drawInput,
  Label: ({ value, fieldName }, does) => element("label", { for: does.field(fieldName) }, value),
  ListView: drawList,
  ListViewItem: drawRow,
  Markdown: ({ value }) => formatted(value),
  RadioGroup: drawRadioGroup,
  Row: (component, does) => drawBox(component, does, "row"),
  Select: drawSelect,
  Spacer: () => element("span", { class: "spacer" }),
  Text: drawText,
  Textarea: ({ name, defaultValue, placeholder, rows, disabled, required }, does) =>
    element("textarea", { id: does.field(name), name, placeholder, rows, disabled, required }, defaultValue ?? ""),
  Title: ({ value }) => element("h4", { class: "text" }, value),
};

/** A widget item. While one of its actions is carried out it takes no other. */
export function drawWidget(item, does) {
  const root = element("div", { class: "widget" });
  const act = async (action, values = {}) => {
    root.inert = true;
    root.setAttribute("aria-busy", "true");
    // What a form holds goes along with what the action has already.
    const payload = Object.keys(values).length > 0 ? { ...action.payload, ...values } : action.payload;
    await does.act(item, { ...action, payload });
    root.inert = false;
    root.removeAttribute("aria-busy");
  };
  root.append(draw(item.widget, { act, field: (name) => `${item.id}-${name}` }));
  return root;
}

function draw(component, does) {
  return DRAWN[component.type]?.(component, does) ?? drawUnknown(component, does);
}

function drawAll(children, does) {
  return [children ?? []].flat().map((child) => draw(child, does));
}

function drawUnknown({ children, value, label, text }, does) {
  return element("div", { class: "box col" }, value ?? label ?? text, drawAll(children, does));
}

function drawBox({ children, gap, align, justify, wrap }, does, direction) {
  const node = element("div", { class: `box ${direction === "row" ? "row" : "col"}` }, drawAll(children, does));
  // Set one by one: whatever stands in them, each stays a value of its own property.
  if (gap !== undefined) node.style.gap = length(gap);
  if (align) node.style.alignItems = align;
  if (justify) node.style.justifyContent = justify === "between" ? "space-between" : justify;
  if (wrap) node.style.flexWrap = wrap;
  return node;
}

function drawCard({ children, status, confirm, cancel, asForm }, does) {
  const content = [status && element("p", { class: "status" }, status.text), drawAll(children, does)];
  const buttons = [cardButton(cancel, "button", does), cardButton(confirm, "submit", does)];
  const footer = (confirm || cancel) && element("div", { class: "buttons" }, buttons);
  return asForm ? formOf(confirm?.action, does, [content, footer]) : element("div", { class: "card" }, content, footer);
}

function cardButton(button, type, does) {
  if (!button) return null;
  const click = ({ currentTarget }) =>
    (type === "button" || !currentTarget.form) && use(button.action, does, currentTarget);
  return element("button", { type, class: type === "submit" ? "primary" : "", click }, button.label);
}

function drawForm({ children, onSubmitAction }, does) {
  return formOf(onSubmitAction, does, drawAll(children, does));
}

function formOf(action, does, content) {
  const submit = (event) => {
    event.preventDefault();
    use(action, does, event.currentTarget);
  };
  return element("form", { class: "card", submit }, content);
}

function drawList({ children, limit, status }, does) {
  const rows = drawAll(children, does);
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

/** A row that does something is one button: it can be reached and pressed by key. */
function drawRow({ children, onClickAction: action }, does) {
  const content = drawAll(children, does);
  if (!action) return element("li", { class: "list-row" }, content);
  const click = ({ currentTarget }) => use(action, does, currentTarget);
  return element(
    "li",
    {},
    element("button", { type: "button", class: "list-row", disabled: isOfThePage(action), click }, content),
  );
}

function drawButton({ label, submit, onClickAction: action, iconStart, iconEnd, style, color, disabled }, does) {
  const isPrimary = style === "primary" || color === "primary";
  const click = ({ currentTarget }) => action && use(action, does, currentTarget);
  return element(
    "button",
    {
      type: submit ? "submit" : "button",
      class: isPrimary ? "primary" : "",
      disabled: disabled || isOfThePage(action),
      click,
    },
    iconStart && icon(iconStart),
    label,
    iconEnd && icon(iconEnd),
  );
}

function drawCheckbox({ name, label, defaultChecked, onChangeAction, disabled, required }, does) {
  const attributes = { type: "checkbox", name, value: "true", checked: defaultChecked, disabled, required };
  const change = ({ currentTarget }) =>
    onChangeAction && use(onChangeAction, does, currentTarget, { [name]: currentTarget.checked });
  return element("label", { class: "choice" }, element("input", { ...attributes, change }), label);
}

function drawRadioGroup({ name, options, ariaLabel, defaultValue, onChangeAction, disabled }, does) {
  const change = ({ currentTarget }) =>
    onChangeAction && use(onChangeAction, does, currentTarget, { [name]: currentTarget.value });
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

function drawSelect({ name, options, defaultValue, placeholder, onChangeAction, disabled }, does) {
  const change = ({ currentTarget }) =>
    onChangeAction && use(onChangeAction, does, currentTarget, { [name]: currentTarget.value });
  const choices = options.map(({ value, label, disabled: isOff }) =>
    element("option", { value, disabled: isOff, selected: value === defaultValue }, label),
  );
  const none = element("option", { value: "" }, placeholder ?? "");
  return element("select", { id: does.field(name), name, disabled, change }, none, choices);
}

function drawInput({ name, inputType, defaultValue, placeholder, pattern, required, disabled }, does) {
  const attributes = { type: inputType ?? "text", value: defaultValue, placeholder, pattern, required, disabled };
  return element("input", { id: does.field(name), name, ...attributes });
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

/** A chart as the table behind it: that can be read by everybody. */
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

/** Has an action carried out, with what the form around the control holds. */
function use(action, does, control, values = {}) {
  if (!action || isOfThePage(action)) return;
  const form = control.closest("form");
  does.act(action, { ...(form ? Object.fromEntries(new FormData(form)) : {}), ...values });
}

/** Whether an action is for the page that a front end is built into. This page knows none. */
function isOfThePage(action) {
  return action?.handler === "client";
}

function length(value, step = STEP) {
  return typeof value === "number" ? `${value * step}px` : value;
}
