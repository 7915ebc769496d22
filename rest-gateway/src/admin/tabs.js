// The tabs: arrow keys, Home and End move between them, as in the ARIA pattern.

import { element } from "./dom.js";

const STEPS = { ArrowLeft: -1, ArrowRight: 1 };

/**
 * Fills a list of tabs. `choose` gets the key of the tab that is chosen, and values for it. Returns a function that chooses
 * one.
 */
export function makeTabs(list, panel, parts, choose) {
  const tabs = parts.map(({ key, title }) =>
    element("button", { id: `tab-${key}`, role: "tab", "aria-controls": panel.id, click: () => select(key) }, title),
  );
  list.replaceChildren(...tabs);
  list.addEventListener("keydown", (event) => {
    const index = tabs.indexOf(document.activeElement);
    const target = { Home: 0, End: tabs.length - 1 }[event.key] ?? index + (STEPS[event.key] ?? 0);
    if (index < 0 || target === index) return;
    event.preventDefault();
    const next = (target + tabs.length) % tabs.length;
    select(parts[next].key);
    tabs[next].focus();
  });

  function select(key, values = {}) {
    tabs.forEach((tab, index) => {
      const isChosen = parts[index].key === key;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
      if (isChosen) panel.setAttribute("aria-labelledby", tab.id);
    });
    choose(key, values);
  }
  return select;
}
