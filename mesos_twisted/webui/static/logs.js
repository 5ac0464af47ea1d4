// A file of a sandbox, followed at its end.
import { filesPath, get, target } from "./api.js";
import { element } from "./dom.js";

const PIECE = 65536;
const FIRST = 32768;
const KEPT = 1 << 20;
const POLL_MS = 2000;

// Every log pane in the document, by its placeholder.
const panes = new Map();

export function placeholder(agentId, path, name) {
  const key = `${agentId} ${path}`;
  return element("div", { "data-keep": key, "data-agent": agentId, "data-path": path, "data-name": name });
}

// Fill new placeholders; stop the panes whose placeholder is gone.
export function mount(root) {
  for (const [box, pane] of panes) {
    if (!root.contains(box)) {
      pane.stop();
      panes.delete(box);
    }
  }
  for (const box of root.querySelectorAll("div[data-path]")) {
    if (!panes.has(box)) panes.set(box, new Pane(box));
  }
}

export function wake() {
  for (const pane of panes.values()) pane.poll();
}

class Pane {
  constructor(box) {
    this.agentId = box.dataset.agent;
    this.path = box.dataset.path;
    this.from = null;
    this.to = 0;
    this.timer = null;
    this.busy = false;
    this.stopped = false;
    const name = box.dataset.name;
    this.text = element("pre", { tabindex: 0, role: "log", "aria-live": "off", "aria-label": `End of ${name}` });
    this.follow = element("input", { type: "checkbox", checked: "" });
    this.note = element("span", { class: "soft" }, "Loading…");
    this.earlier = element("button", { type: "button", hidden: "" }, "Show earlier");
    this.earlier.addEventListener("click", () => this.showEarlier());
    this.follow.addEventListener("change", () => this.poll());
    this.text.addEventListener("scroll", () => {
      this.atEnd = this.text.scrollTop + this.text.clientHeight >= this.text.scrollHeight - 8;
    });
    this.atEnd = true;
    const download = filesPath(this.agentId, "download", { path: this.path });
    box.replaceChildren(
      element("div", { class: "tools" }, box.closest(".whole") ? null : element("h3", {}, name),
        element("label", {}, this.follow, " follow"), this.earlier,
        element("a", { href: target(download).href, download: name }, "download"), this.note),
      this.text);
    this.poll();
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  async poll() {
    clearTimeout(this.timer);
    if (this.busy || this.stopped || document.hidden) return;
    if (!this.follow.checked && this.from !== null) return;
    this.busy = true;
    try {
      await this.read();
    } catch (problem) {
      this.note.textContent = problem.message;
    }
    this.busy = false;
    if (!this.stopped) this.timer = setTimeout(() => this.poll(), POLL_MS);
  }

  async read() {
    const size = (await this.ask({})).offset;
    if (size < this.to) {
      this.text.replaceChildren();
      this.from = null;
    }
    if (this.from === null) this.from = this.to = Math.max(0, size - FIRST);
    const first = this.to === this.from && this.from > 0;
    while (this.to < size && !this.stopped) {
      let { text, end } = await this.piece(this.to, Math.min(PIECE, size - this.to));
      if (first && this.to === this.from) text = text.replace(/^\uFFFD{1,3}/, "");
      this.to = end;
      this.append(text);
      if (size - this.to > KEPT) {
        // Far behind a fast writer: what is skipped can be downloaded.
        this.append("\n… skipped …\n");
        this.to = size - FIRST;
      }
    }
    this.earlier.hidden = this.from === 0;
    this.note.textContent = size ? "" : "The file is empty.";
  }

  // A piece that does not end within a character, unless the file itself is no text.
  async piece(offset, length) {
    let text = "";
    for (let less = 0; less < 4 && less < length; less += 1) {
      const end = offset + length - less;
      text = (await this.ask({ offset, length: length - less })).data;
      if (!text.endsWith("\uFFFD")) return { text, end };
    }
    return { text, end: offset + length - Math.min(3, length - 1) };
  }

  async showEarlier() {
    if (this.busy || !this.from) return;
    this.busy = true;
    try {
      const start = Math.max(0, this.from - PIECE);
      const answer = await this.ask({ offset: start, length: this.from - start });
      const height = this.text.scrollHeight;
      this.text.prepend(answer.data.replace(/^\uFFFD{1,3}/, ""));
      this.text.scrollTop += this.text.scrollHeight - height;
      this.from = start;
      this.earlier.hidden = start === 0;
    } catch (problem) {
      this.note.textContent = problem.message;
    }
    this.busy = false;
  }

  append(text) {
    const stay = this.atEnd;
    this.text.append(text);
    while (this.text.textContent.length > KEPT && this.text.childNodes.length > 1) {
      this.from += new TextEncoder().encode(this.text.firstChild.data).length;
      this.text.firstChild.remove();
    }
    if (stay) this.text.scrollTop = this.text.scrollHeight;
  }

  ask(query) {
    return get(filesPath(this.agentId, "read", { path: this.path, ...query }));
  }
}
