// Elements and tables. All text goes in as text: names, labels and ids are strangers' words.

const SHOWN = 200;
// What the reader chose, by table: the column sorted by, the direction, the filter.
const choices = new Map();

export function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== undefined && value !== null && value !== false) made.setAttribute(key, String(value));
  }
  made.append(...children.filter((child) => child !== undefined && child !== null)
    .map((child) => (child instanceof Node ? child : String(child))));
  return made;
}

export function link(text, ...parts) {
  return element("a", { href: address(...parts) }, text);
}

export function address(...parts) {
  return "#" + parts.map(encodeURIComponent).join("/");
}

// A link that leaves this page is made only from a web address.
export function outside(text, url) {
  let parsed = null;
  try {
    parsed = new URL(url);
  } catch {
    return element("span", {}, url);
  }
  if (parsed.protocol !== "https:" && parsed.protocol !== "http:") return element("span", {}, url);
  return element("a", { href: parsed.href, rel: "noreferrer noopener", target: "_blank" }, text);
}

// A long id by its two ends, which tell it from its neighbours; whole when pointed at.
export function id(text) {
  const short = text.length > 20 ? `${text.slice(0, 8)}…${text.slice(-7)}` : text;
  return element("span", { class: "id", title: text }, short);
}

export function facts(pairs) {
  const list = element("dl");
  for (const [name, value] of pairs) {
    if (value === undefined || value === null || value === "") continue;
    list.append(element("dt", {}, name), element("dd", {}, value));
  }
  return list;
}

export function empty(sentence, command) {
  return element("p", { class: "empty" }, sentence, command ? " Try: " : "",
    command ? element("code", {}, command) : "");
}

// A table of `items`. Columns: { name, value(item), cell(item), number }; `value` sorts and filters.
// Only the first rows are shown, however many there are; a `small` one is as wide as it must be.
export function table({ key, caption, columns, items, none, small }) {
  const box = element("section", { class: small ? "small" : null });
  if (!items.length) {
    box.append(element("h3", {}, caption), none instanceof Node ? none : empty(none || "None."));
    return box;
  }
  const choice = choices.get(key) || { column: -1, descending: false, filter: "" };
  const words = choice.filter.toLowerCase().split(/\s+/).filter(Boolean);
  let found = items;
  if (words.length) {
    found = items.filter((item) => {
      const text = columns.map((column) => column.value(item)).join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    });
  }
  const by = columns[choice.column];
  if (by) {
    const sign = choice.descending ? -1 : 1;
    found = found.map((item) => [by.value(item), item])
      .sort((a, b) => sign * compare(a[0], b[0])).map((pair) => pair[1]);
  }
  const title = element("caption", {}, small ? caption : `${caption} (${items.length.toLocaleString()})`);
  if (items.length > 8 || words.length) {
    title.append(element("span", { class: "tools" },
      element("input", {
        type: "search", "data-filter": key, "aria-label": `Filter: ${caption}`,
        placeholder: "Filter by any word", spellcheck: "false", autocomplete: "off",
      }),
      element("span", { class: "soft", role: "status" }, count(found.length, items.length))));
  }
  const head = element("tr");
  columns.forEach((column, index) => {
    const sorted = index !== choice.column ? null : choice.descending ? "descending" : "ascending";
    head.append(element("th", { scope: "col", class: column.number ? "number" : null, "aria-sort": sorted },
      element("button", { type: "button", "data-sort": key, "data-column": index }, column.name)));
  });
  const body = element("tbody");
  for (const item of found.slice(0, SHOWN)) {
    const row = element("tr");
    for (const column of columns) {
      const content = column.cell ? column.cell(item) : column.value(item);
      row.append(element("td", { class: column.number ? "number" : null }, content));
    }
    body.append(row);
  }
  box.append(element("div", { class: "scroll" },
    element("table", {}, title, element("thead", {}, head), body)));
  if (!found.length) box.append(empty("Nothing matches the filter."));
  return box;
}

function count(found, all) {
  if (found > SHOWN) return `The first ${SHOWN} of ${found.toLocaleString()} are shown.`;
  return found < all ? `${found.toLocaleString()} of ${all.toLocaleString()} match.` : "";
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a ?? "").localeCompare(String(b ?? ""), undefined, { numeric: true });
}

// Sorting and filtering, wherever the tables are; `again()` shows the page anew.
export function listen(root, again) {
  root.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-sort]");
    if (!button) return;
    const key = button.dataset.sort;
    const column = Number(button.dataset.column);
    const before = choices.get(key) || { column: -1, descending: false, filter: "" };
    const descending = before.column === column && !before.descending;
    choices.set(key, { ...before, column, descending });
    again();
  });
  root.addEventListener("input", (event) => {
    const key = event.target.dataset.filter;
    if (key === undefined) return;
    const before = choices.get(key) || { column: -1, descending: false, filter: "" };
    choices.set(key, { ...before, filter: event.target.value });
    again();
  });
}

// A filter typed before is shown again when its table comes back.
export function refill(root) {
  for (const input of root.querySelectorAll("input[data-filter]")) {
    const choice = choices.get(input.dataset.filter);
    if (choice && input !== document.activeElement) input.value = choice.filter;
  }
}

// Make `old` look like `fresh` by changing only what differs: no flicker, focus and selection stay.
// What is marked data-keep looks after its own content.
export function patch(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName ||
      (old.dataset && old.dataset.keep !== fresh.dataset.keep)) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  if (old.dataset.keep === undefined) patchChildren(old, [...fresh.childNodes]);
}

export function patchChildren(parent, fresh) {
  const old = [...parent.childNodes];
  fresh.forEach((node, index) => {
    if (index < old.length) patch(old[index], node);
    else parent.append(node);
  });
  for (const extra of old.slice(fresh.length)) extra.remove();
}
