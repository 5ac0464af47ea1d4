// The state page: which view is asked for, when it is loaded again, what went wrong.
// It reads only the public API of the master it came from, and changes nothing.
import { get } from "./api.js";
import { listen, patchChildren, refill } from "./dom.js";
import { mount, wake } from "./logs.js";
import { views, wantHistory } from "./views.js";

const REFRESH_MS = 5000;
const main = document.getElementById("main");
const trouble = document.getElementById("trouble");
const asof = document.getElementById("asof");
const pause = document.getElementById("pause");

let shown = null; // the hash that is on the screen
let data = null;
let timer = null;
let loading = null;
let paused = false;
let cluster = "Cluster";

function wanted() {
  const parts = location.hash.slice(1).split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  const name = Object.hasOwn(views, parts[0]) ? parts[0] : "overview";
  return { hash: location.hash, name, view: views[name], args: parts.slice(1) };
}

function show(asked) {
  const parts = asked.view.show(data, asked.args);
  if (shown === asked.hash) {
    patchChildren(main, parts);
  } else {
    main.replaceChildren(...parts);
    if (shown !== null) {
      main.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
    shown = asked.hash;
  }
  refill(main);
  mount(main);
  const heading = main.querySelector("h2");
  document.title = `${heading ? heading.textContent + " – " : ""}${cluster}`;
}

function mark(asked) {
  const section = { agent: "agents", framework: "frameworks", task: "tasks", files: "tasks", file: "tasks" };
  const current = section[asked.name] || asked.name;
  for (const entry of document.querySelectorAll("nav a")) {
    if (entry.getAttribute("href") === "#" + current) entry.setAttribute("aria-current", "page");
    else entry.removeAttribute("aria-current");
  }
}

async function load() {
  clearTimeout(timer);
  if (loading) loading.abort();
  const mine = loading = new AbortController();
  const asked = wanted();
  const began = performance.now();
  let took = 0;
  mark(asked);
  try {
    const found = await asked.view.load(asked.args, mine.signal);
    if (loading !== mine) return;
    took = performance.now() - began;
    data = found;
    show(asked);
    trouble.hidden = true;
    asof.textContent = `As of ${new Date().toLocaleTimeString()}`;
    if (found && found.later) {
      await found.later;
      if (loading !== mine) return;
      show(asked);
    }
  } catch (problem) {
    if (loading !== mine) return;
    trouble.textContent = problem.message;
    trouble.hidden = false;
    if (shown !== asked.hash) {
      main.replaceChildren();
      shown = null;
    }
  }
  loading = null;
  // A large cluster is asked less often: loading it takes a tenth of the time at most.
  const wait = Math.min(60000, Math.max(REFRESH_MS, 10 * took));
  if (!document.hidden && !paused) timer = setTimeout(load, wait);
}

function again() {
  const asked = wanted();
  if (data !== null && shown === asked.hash) show(asked);
}

async function name() {
  try {
    const summary = await get("/state-summary");
    if (summary.cluster) cluster = `Cluster ${summary.cluster}`;
    document.getElementById("title").textContent = cluster;
  } catch {
    // The view says what is wrong.
  }
}

listen(main, again);
main.addEventListener("click", (event) => {
  if (event.target.closest("button[data-history]")) {
    wantHistory();
    load();
  }
});
pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  pause.textContent = paused ? "Resume" : "Pause";
  load();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener("hashchange", () => {
  data = null;
  load();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    clearTimeout(timer);
  } else {
    load();
    wake();
  }
});
// The first request may have to wait for the reader's name and secret; one prompt is enough.
load().then(name);
