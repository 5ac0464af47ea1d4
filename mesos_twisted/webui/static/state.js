"use strict";
// The state page. It reads only the public API of the master it came from. All text from the
// cluster is put in with textContent: names and labels are strangers' words.

const REFRESH_MS = 5000;
const SHOWN = 1000;
const main = document.getElementById("main");
const status = document.getElementById("status");
let state = null;
let timer = null;
let shownView = "";

function element(name, text, attributes) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = String(text);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  return made;
}

function link(text, hash) {
  return element("a", text, { href: "#" + hash });
}

// A link that leaves this origin is made only from a web address.
function outside(text, url) {
  try {
    const parsed = new URL(url);
    if (parsed.protocol === "https:" || parsed.protocol === "http:") {
      return element("a", text, { href: parsed.href, rel: "noreferrer noopener" });
    }
  } catch (error) {
    // Not an address: shown as text.
  }
  return element("span", text);
}

function table(caption, heads, rows) {
  const made = element("table");
  made.append(element("caption", caption));
  const head = element("tr");
  for (const name of heads) {
    const number = name.startsWith("#");
    const cell = element("th", number ? name.slice(1) : name, { scope: "col" });
    if (number) cell.className = "number";
    head.append(cell);
  }
  const thead = element("thead");
  thead.append(head);
  const body = element("tbody");
  for (const cells of rows.slice(0, SHOWN)) {
    const row = element("tr");
    cells.forEach((cell, index) => {
      const box = element("td");
      if (heads[index].startsWith("#")) box.className = "number";
      if (cell instanceof Node) box.append(cell);
      else box.textContent = cell === undefined || cell === null ? "" : String(cell);
      row.append(box);
    });
    body.append(row);
  }
  made.append(thead, body);
  if (rows.length > SHOWN) {
    made.caption.textContent += ` (the first ${SHOWN} of ${rows.length})`;
  }
  return made;
}

function amount(used, total, name) {
  return `${(used[name] || 0).toLocaleString()} / ${(total[name] || 0).toLocaleString()}`;
}

function moment(seconds) {
  return seconds ? new Date(seconds * 1000).toLocaleString() : "";
}

function agentsView() {
  const rows = state.slaves.map((agent) => [
    link(agent.hostname, "agent/" + encodeURIComponent(agent.id)),
    agent.id,
    agent.active ? "active" : "inactive",
    amount(agent.used_resources, agent.resources, "cpus"),
    amount(agent.used_resources, agent.resources, "mem"),
    amount(agent.used_resources, agent.resources, "disk"),
    moment(agent.reregistered_time || agent.registered_time),
  ]);
  const heads = ["Host", "Agent", "State", "#CPUs", "#Memory (MB)", "#Disk (MB)", "Since"];
  return [table(`Agents (${rows.length})`, heads, rows)];
}

function frameworksView() {
  const rows = state.frameworks.map((framework) => [
    link(framework.name, "framework/" + encodeURIComponent(framework.id)),
    framework.id,
    framework.user,
    (framework.roles || [framework.role]).join(", "),
    framework.connected ? "connected" : framework.recovered ? "recovered" : "disconnected",
    framework.tasks.length,
    framework.webui_url ? outside("open", framework.webui_url) : "",
  ]);
  const heads = ["Name", "Framework", "User", "Roles", "State", "#Tasks", "Page"];
  return [table(`Frameworks (${rows.length})`, heads, rows)];
}

function taskRows(tasks) {
  return tasks.map((task) => [
    link(task.name, `task/${encodeURIComponent(task.framework_id)}/${encodeURIComponent(task.id)}`),
    task.id,
    task.state.replace("TASK_", "").toLowerCase(),
    task.resources.cpus,
    task.resources.mem,
    moment(task.statuses.length ? task.statuses[0].timestamp : 0),
  ]);
}

const TASK_HEADS = ["Name", "Task", "State", "#CPUs", "#Memory (MB)", "Since"];

function tasksView() {
  const live = state.frameworks.flatMap((framework) => framework.tasks);
  const past = state.frameworks.flatMap((framework) => framework.completed_tasks);
  return [
    table(`Tasks (${live.length})`, TASK_HEADS, taskRows(live)),
    table(`Completed tasks (${past.length})`, TASK_HEADS, taskRows(past)),
  ];
}

function everyFramework() {
  return state.frameworks.concat(state.completed_frameworks);
}

function frameworkView(id) {
  const framework = everyFramework().find((one) => one.id === id);
  if (!framework) return [element("p", "There is no such framework any more.")];
  return [
    element("h2", framework.name),
    table("Tasks", TASK_HEADS, taskRows(framework.tasks)),
    table("Unreachable tasks", TASK_HEADS, taskRows(framework.unreachable_tasks)),
    table("Completed tasks", TASK_HEADS, taskRows(framework.completed_tasks)),
  ];
}

function agentOrigin(agent) {
  return `https://${agent.hostname}:${agent.port}`;
}

function agentView(id) {
  const agent = state.slaves.find((one) => one.id === id);
  if (!agent) return [element("p", "There is no such agent any more.")];
  const tasks = state.frameworks.flatMap((f) => f.tasks).filter((task) => task.slave_id === id);
  const rows = Object.entries(agent.attributes).map(([name, value]) => [name, value]);
  return [
    element("h2", agent.hostname),
    outside("The agent's own state", agentOrigin(agent) + "/state"),
    table("Attributes", ["Name", "Value"], rows),
    table("Tasks", TASK_HEADS, taskRows(tasks)),
  ];
}

function taskView(frameworkId, taskId) {
  const framework = everyFramework().find((one) => one.id === frameworkId);
  const task = framework && framework.tasks
    .concat(framework.completed_tasks, framework.unreachable_tasks)
    .find((one) => one.id === taskId);
  if (!task) return [element("p", "There is no such task any more.")];
  const history = task.statuses.map((one) => [
    one.state.replace("TASK_", "").toLowerCase(),
    moment(one.timestamp),
    one.healthy === undefined ? "" : one.healthy ? "healthy" : "unhealthy",
  ]);
  const parts = [
    element("h2", task.name),
    table("History", ["State", "When", "Health"], history),
    table("Labels", ["Key", "Value"], (task.labels || []).map((one) => [one.key, one.value])),
  ];
  const agent = state.slaves.find((one) => one.id === task.slave_id);
  if (agent) {
    const path = `/frameworks/${task.framework_id}/executors/` +
      `${task.executor_id || task.id}/tasks/${task.id}`;
    const list = element("ul");
    for (const name of ["stdout", "stderr"]) {
      const item = element("li");
      const query = new URLSearchParams({ path: `${path}/${name}` });
      item.append(outside(name, `${agentOrigin(agent)}/files/download?${query}`));
      list.append(item);
    }
    parts.push(element("h3", "Sandbox, on the agent"), list);
  }
  return parts;
}

function view() {
  const parts = location.hash.slice(1).split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch (error) {
      return part;
    }
  });
  switch (parts[0]) {
    case "frameworks": return frameworksView();
    case "framework": return frameworkView(parts[1]);
    case "tasks": return tasksView();
    case "task": return taskView(parts[1], parts[2]);
    case "agent": return agentView(parts[1]);
    default: return agentsView();
  }
}

function show() {
  if (!state) return;
  const cluster = state.cluster ? `Cluster ${state.cluster}` : "Cluster";
  document.getElementById("title").textContent = cluster;
  document.title = cluster;
  main.replaceChildren(...view());
  if (shownView !== location.hash) {
    if (shownView) main.focus();
    shownView = location.hash || "#agents";
  }
}

async function load() {
  clearTimeout(timer);
  try {
    const answer = await fetch("/state", { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
    state = await answer.json();
    status.className = "";
    status.textContent = `As of ${new Date().toLocaleTimeString()}; ` +
      `leader ${state.leader || "unknown"}`;
    show();
  } catch (error) {
    status.className = "error";
    status.textContent = `The state cannot be read: ${error.message}`;
  }
  if (!document.hidden) timer = setTimeout(load, REFRESH_MS);
}

window.addEventListener("hashchange", show);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) load();
});
load();
