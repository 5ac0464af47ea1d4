// The pages: what each asks of the master and how it shows the answer.
import { filesPath, get, Refusal } from "./api.js";
import { address, element, empty, facts, id, link, outside, table } from "./dom.js";
import { amount, badge, bytes, clock, megabytes, moment, number, plain, usage } from "./format.js";
import { placeholder } from "./logs.js";

const MOST_TASKS = 20000;
const RESOURCES = ["cpus", "mem", "disk", "gpus"];
const CALLED = { cpus: "CPUs", mem: "Memory", disk: "Disk", gpus: "GPUs" };
const called = (name) => (Object.hasOwn(CALLED, name) ? CALLED[name] : name);
const LIVE = new Set(["TASK_STAGING", "TASK_STARTING", "TASK_RUNNING", "TASK_KILLING", "TASK_UNREACHABLE"]);
const NO_FRAMEWORK = () => empty("No framework is subscribed.", "mesos-twisted run -- 'echo hello'");
const NO_AGENT = () => empty("No agent is registered. Start one that names this master:",
  `mesos-twisted agent --master=${location.host}`);
const NO_TASK = () => empty("No task runs.", "mesos-twisted run -- 'sleep 60'");

function sum(items, field, name) {
  return items.reduce((total, item) => total + ((item[field] && item[field][name]) || 0), 0);
}

function crumbs(...parts) {
  return element("p", { class: "crumbs" }, ...parts.flatMap((part) => [part, " › "]));
}

const overview = {
  async load(_, signal) {
    const summary = await get("/state-summary", signal);
    let metrics = {};
    try {
      metrics = await get("/metrics/snapshot", signal);
    } catch (problem) {
      // Metrics may be forbidden to who may see the rest.
      if (!(problem instanceof Refusal) || problem.status !== 403) throw problem;
    }
    return { summary, metrics };
  },
  show({ summary, metrics }) {
    const agents = summary.slaves;
    const active = agents.filter((agent) => agent.active).length;
    const lost = metrics["master/slaves_unreachable"];
    const parts = [element("h2", {}, "Overview")];
    parts.push(facts([
      ["Agents", element("span", {}, link(`${number(active)} active`, "agents"),
        active < agents.length ? `, ${number(agents.length - active)} inactive` : "",
        lost ? `, ${number(lost)} unreachable` : "")],
      ["Frameworks", link(`${number(summary.frameworks.length)} subscribed`, "frameworks")],
      ["Master", summary.hostname],
      ["Up since", metrics["master/uptime_secs"] ? moment(Date.now() / 1000 - metrics["master/uptime_secs"]) : ""],
    ]));
    if (!agents.length) parts.push(NO_AGENT());
    else {
      const kinds = RESOURCES.filter((name) => name !== "gpus" || sum(agents, "resources", name));
      parts.push(table({
        key: "resources", small: true, caption: "Resources", items: kinds, columns: [
          { name: "Resource", value: called },
          { name: "Used", value: (name) => sum(agents, "used_resources", name),
            cell: (name) => usage(name, { [name]: sum(agents, "used_resources", name) },
              { [name]: sum(agents, "resources", name) }) },
          { name: "Offered", number: true, value: (name) => sum(agents, "offered_resources", name),
            cell: (name) => amount(name, sum(agents, "offered_resources", name)) },
        ],
      }));
    }
    if (!summary.frameworks.length) parts.push(NO_FRAMEWORK());
    const states = Object.keys(summary.slaves[0] || {}).filter((name) => name.startsWith("TASK_"));
    const counted = states.map((name) => [name, agents.reduce((total, agent) => total + agent[name], 0)])
      .filter((pair) => pair[1]);
    parts.push(table({
      key: "states", small: true, caption: "Tasks of subscribed frameworks", items: counted,
      none: empty("No task of a subscribed framework is known."),
      columns: [
        { name: "State", value: (pair) => plain(pair[0]), cell: (pair) => badge(pair[0]) },
        { name: "Tasks", number: true, value: (pair) => pair[1], cell: (pair) => number(pair[1]) },
      ],
    }));
    return parts;
  },
};

const agentState = (agent) => (agent.drain_info ? agent.drain_info.state.toLowerCase()
  : agent.deactivated ? "deactivated" : agent.active ? "active" : "inactive");

const agents = {
  load: (_, signal) => get("/state-summary", signal),
  show: (summary) => [element("h2", {}, "Agents"), table({
    key: "agents", caption: "Registered agents", items: summary.slaves, none: NO_AGENT(),
    columns: [
      { name: "Host", value: (one) => one.hostname, cell: (one) => link(one.hostname, "agent", one.id) },
      { name: "Agent", value: (one) => one.id, cell: (one) => id(one.id) },
      { name: "State", value: agentState, cell: (one) => badge(agentState(one)) },
      ...["cpus", "mem", "disk"].map((name) => ({
        name: called(name),
        value: (one) => one.used_resources[name] || 0,
        cell: (one) => usage(name, one.used_resources, one.resources),
      })),
      { name: "Running", number: true, value: (one) => one.TASK_RUNNING },
      { name: "Since", value: (one) => one.reregistered_time || one.registered_time || 0,
        cell: (one) => moment(one.reregistered_time || one.registered_time) },
    ],
  })],
};

function frameworkState(one) {
  if (one.unregistered_time) return "ended";
  return one.connected ? (one.active ? "active" : "inactive") : one.recovered ? "recovered" : "disconnected";
}

let history = null;

const frameworks = {
  async load(_, signal) {
    const [summary, all] = await Promise.all(
      [get("/state-summary", signal), history === "wanted" ? get("/frameworks", signal) : null]);
    if (all) history = all.completed_frameworks;
    return summary;
  },
  show(summary) {
    const parts = [element("h2", {}, "Frameworks"), table({
      key: "frameworks", caption: "Subscribed frameworks", items: summary.frameworks, none: NO_FRAMEWORK(),
      columns: [
        { name: "Name", value: (one) => one.name, cell: (one) => link(one.name || "(no name)", "framework", one.id) },
        { name: "Framework", value: (one) => one.id, cell: (one) => id(one.id) },
        { name: "State", value: frameworkState, cell: (one) => badge(frameworkState(one)) },
        { name: "Running", number: true, value: (one) => one.TASK_RUNNING },
        { name: "Finished", number: true, value: (one) => one.TASK_FINISHED },
        { name: "Failed", number: true, value: (one) => one.TASK_FAILED },
        { name: "CPUs", number: true, value: (one) => one.used_resources.cpus, cell: (one) => number(one.used_resources.cpus) },
        { name: "Memory", number: true, value: (one) => one.used_resources.mem, cell: (one) => megabytes(one.used_resources.mem) },
        { name: "Agents", number: true, value: (one) => one.slave_ids.length },
        { name: "Page", value: (one) => one.webui_url, cell: (one) => (one.webui_url ? outside("open", one.webui_url) : "") },
      ],
    })];
    if (Array.isArray(history)) {
      parts.push(table({
        key: "ended", caption: "Ended frameworks", items: history, none: empty("No framework has ended."),
        columns: [
          { name: "Name", value: (one) => one.name, cell: (one) => link(one.name || "(no name)", "framework", one.id) },
          { name: "Framework", value: (one) => one.id, cell: (one) => id(one.id) },
          { name: "User", value: (one) => one.user },
          { name: "Tasks", number: true, value: (one) => one.completed_tasks.length },
          { name: "Ended", value: (one) => one.unregistered_time, cell: (one) => moment(one.unregistered_time) },
        ],
      }));
    }
    const label = Array.isArray(history) ? "Load ended frameworks again" : "Show ended frameworks";
    parts.push(element("p", {}, element("button", { type: "button", "data-history": "" }, label)));
    return parts;
  },
  wantHistory() {
    history = "wanted";
  },
};

function changed(task) {
  return task.statuses.length ? task.statuses[task.statuses.length - 1].timestamp : 0;
}

function taskTable(key, caption, items, none, without) {
  return table({
    key, caption, items, none,
    columns: [
      { name: "Name", value: (one) => one.name, cell: (one) => link(one.name || "(no name)", "task", one.framework_id, one.id) },
      { name: "Task", value: (one) => one.id, cell: (one) => id(one.id) },
      { name: "State", value: (one) => plain(one.state), cell: (one) => badge(one.state) },
      { name: "Framework", value: (one) => one.framework_id,
        cell: (one) => element("a", { href: address("framework", one.framework_id) }, id(one.framework_id)) },
      { name: "Agent", value: (one) => one.slave_id,
        cell: (one) => element("a", { href: address("agent", one.slave_id) }, id(one.slave_id)) },
      { name: "CPUs", number: true, value: (one) => one.resources.cpus, cell: (one) => number(one.resources.cpus) },
      { name: "Memory", number: true, value: (one) => one.resources.mem, cell: (one) => megabytes(one.resources.mem) },
      { name: "Changed", value: changed, cell: (one) => moment(changed(one)) },
    ].filter((column) => column.name !== without),
  });
}

function split(tasks) {
  const live = [];
  const ended = [];
  for (const task of tasks) (LIVE.has(task.state) ? live : ended).push(task);
  return [live, ended];
}

const tasks = {
  load: (_, signal) => get(`/tasks?limit=${MOST_TASKS}`, signal),
  show(answer) {
    const [live, ended] = split(answer.tasks);
    const parts = [element("h2", {}, "Tasks")];
    if (answer.tasks.length === MOST_TASKS) {
      parts.push(element("p", { class: "soft" }, `The newest ${number(MOST_TASKS)} tasks; older ones are on their framework's page.`));
    }
    parts.push(taskTable("live", "Live tasks", live, NO_TASK()));
    parts.push(taskTable("done", "Completed tasks", ended, empty("No task has ended yet.")));
    return parts;
  },
};

const agent = {
  async load([agentId], signal) {
    const [found, all] = await Promise.all([
      get(`/slaves?${new URLSearchParams({ slave_id: agentId })}`, signal),
      get(`/tasks?limit=${MOST_TASKS}`, signal)]);
    return { agent: found.slaves[0], tasks: all.tasks.filter((one) => one.slave_id === agentId) };
  },
  show({ agent: one, tasks: its }, [agentId]) {
    const top = crumbs(link("Agents", "agents"));
    const [live, ended] = split(its);
    const lists = [taskTable("agent-live", "Live tasks here", live, NO_TASK(), "Agent"),
      taskTable("agent-done", "Completed tasks here", ended, empty("No task has ended here yet."), "Agent")];
    if (!one) {
      return [top, element("h2", {}, agentId),
        empty("No agent of this id is registered now; it may have left or be unreachable."), ...lists];
    }
    const reserved = Object.entries(one.reserved_resources);
    return [top, element("h2", {}, one.hostname),
      facts([
        ["Agent", element("code", {}, one.id)], ["State", badge(agentState(one))],
        ["Address", `${one.hostname}:${one.port}`], ["Version", one.version],
        ["Registered", clock(one.registered_time)], ["Returned", clock(one.reregistered_time)],
        ...Object.entries(one.attributes).map(([name, value]) => [`Attribute ${name}`, String(value)]),
        ...reserved.map(([role, held]) => [`Reserved for ${role}`,
          RESOURCES.filter((name) => held[name]).map((name) => `${name} ${amount(name, held[name])}`).join(", ")]),
      ]),
      table({
        key: "agent-resources", small: true, caption: "Resources",
        items: Object.keys(one.resources).filter((name) => one.resources[name]),
        columns: [
          { name: "Resource", value: called },
          { name: "Used", value: (name) => one.used_resources[name] || 0, cell: (name) => (
            typeof one.resources[name] === "number" ? usage(name, one.used_resources, one.resources)
              : `${one.used_resources[name] || "none"} of ${one.resources[name]}`) },
          { name: "Offered", number: true, value: (name) => one.offered_resources[name] || 0, cell: (name) => (
            typeof one.resources[name] === "number" ? amount(name, one.offered_resources[name])
              : one.offered_resources[name] || "none") },
        ],
      }), ...lists];
  },
};

const framework = {
  load: ([frameworkId], signal) => get(`/frameworks?${new URLSearchParams({ framework_id: frameworkId })}`, signal),
  show(answer, [frameworkId]) {
    const one = [...answer.frameworks, ...answer.completed_frameworks].find((item) => item.id === frameworkId);
    const top = crumbs(link("Frameworks", "frameworks"));
    if (!one) return [top, element("h2", {}, frameworkId), empty("No framework of this id is known here any more.")];
    return [top, element("h2", {}, one.name || "(no name)"),
      facts([
        ["Framework", element("code", {}, one.id)], ["State", badge(frameworkState(one))],
        ["User", one.user], ["Principal", one.principal], ["Roles", (one.roles || [one.role]).join(", ")],
        ["Host", one.hostname], ["Page", one.webui_url ? outside(one.webui_url, one.webui_url) : ""],
        ["Uses", RESOURCES.filter((name) => one.used_resources[name])
          .map((name) => `${name} ${amount(name, one.used_resources[name])}`).join(", ") || "nothing now"],
        ["Failover time-out", one.failover_timeout ? `${number(one.failover_timeout)} s` : ""],
        ["Capabilities", one.capabilities.join(", ").toLowerCase().replaceAll("_", " ")],
        ["Subscribed", clock(one.registered_time)], ["Ended", clock(one.unregistered_time)],
      ]),
      taskTable("framework-live", "Live tasks", [...one.tasks, ...one.unreachable_tasks], empty("No task of it runs."), "Framework"),
      taskTable("framework-done", "Completed tasks", one.completed_tasks, empty("No task of it has ended yet."), "Framework")];
  },
};

function sandbox(task) {
  return `/frameworks/${task.framework_id}/executors/${task.executor_id || task.id}`;
}

// The listing shown last: it stays on the screen until the agent has answered again.
let listed = null;

async function browse(one, signal) {
  const found = { key: `${one.framework_id} ${one.id}`, path: "", files: [], problem: "" };
  // A task's own directory, or when the agent knows the task no more, its executor's last one.
  for (const path of [`${sandbox(one)}/tasks/${one.id}`, `${sandbox(one)}/runs/latest`]) {
    try {
      found.files = await get(filesPath(one.slave_id, "browse", { path }), signal);
      found.path = path;
      found.problem = "";
      break;
    } catch (problem) {
      if (!(problem instanceof Refusal)) throw problem;
      found.problem = problem.message;
      if (problem.status !== 404) break;
    }
  }
  listed = found;
}

const task = {
  async load([frameworkId, taskId], signal) {
    const answer = await get(`/tasks?${new URLSearchParams({ framework_id: frameworkId, task_id: taskId })}`, signal);
    const one = answer.tasks[0];
    // The agent may be slow or away; the master's part of the page does not wait for it.
    return one ? { one, later: browse(one, signal) } : {};
  },
  show({ one }, [frameworkId, taskId]) {
    const top = crumbs(link("Tasks", "tasks"), link(frameworkId, "framework", frameworkId));
    if (!one) return [top, element("h2", {}, taskId), empty("No task of this id is known here any more.")];
    const last = one.statuses[one.statuses.length - 1] || {};
    const status = last.container_status || {};
    const addresses = (status.network_infos || []).flatMap((net) => net.ip_addresses || []).map((ip) => ip.ip_address);
    const parts = [top, element("h2", {}, one.name || "(no name)"), facts([
      ["Task", element("code", {}, one.id)], ["State", badge(one.state)],
      ["Agent", link(one.slave_id, "agent", one.slave_id)],
      ["Executor", one.executor_id], ["User", one.user], ["Role", one.role],
      ["Container", status.container_id ? element("code", {}, status.container_id.value) : ""],
      ["Addresses", addresses.join(", ")],
      ["Resources", Object.entries(one.resources).filter((pair) => pair[1])
        .map(([name, value]) => `${name} ${typeof value === "number" ? amount(name, value) : value}`).join(", ")],
      ...(one.labels || []).map((label) => [`Label ${label.key}`, label.value || "(no value)"]),
    ]), table({
      key: "history", small: true, caption: "State history", items: one.statuses, none: empty("No status has come yet."),
      columns: [
        { name: "State", value: (item) => plain(item.state), cell: (item) => badge(item.state) },
        { name: "When", value: (item) => item.timestamp, cell: (item) => clock(item.timestamp) },
        { name: "Health", value: (item) => (item.healthy === undefined ? "" : item.healthy ? "healthy" : "unhealthy") },
      ],
    })];
    const listing = listed && listed.key === `${one.framework_id} ${one.id}` ? listed : null;
    if (!listing) {
      parts.push(element("h3", {}, "Sandbox"), element("p", { class: "soft" }, "Asking the agent…"));
      return parts;
    }
    if (listing.problem) {
      const gone = listing.problem.startsWith("No such file");
      parts.push(element("h3", {}, "Sandbox"), empty(gone
        ? "The agent has no sandbox of this task: it has not started yet, or the sandbox was cleaned up." : listing.problem));
      return parts;
    }
    parts.push(fileTable(one.slave_id, listing.path, listing.files, "Sandbox"));
    const names = new Set(listing.files.map((file) => file.path.split("/").pop()));
    for (const name of ["stdout", "stderr"]) {
      if (names.has(name)) parts.push(placeholder(one.slave_id, `${listing.path}/${name}`, name));
    }
    return parts;
  },
};

function fileTable(agentId, path, files, caption) {
  const name = (file) => file.path.split("/").pop();
  const directory = (file) => file.mode.startsWith("d");
  return table({
    key: "files", caption, items: files, none: empty("The directory is empty."),
    columns: [
      { name: "Name", value: name, cell: (file) => (directory(file) ? link(`${name(file)}/`, "files", agentId, `${path}/${name(file)}`)
        : file.mode.startsWith("-") ? link(name(file), "file", agentId, `${path}/${name(file)}`) : name(file)) },
      { name: "Size", number: true, value: (file) => file.size, cell: (file) => (directory(file) ? "" : bytes(file.size)) },
      { name: "Changed", value: (file) => file.mtime, cell: (file) => moment(file.mtime) },
      { name: "Owner", value: (file) => file.uid },
      { name: "Mode", value: (file) => file.mode, cell: (file) => element("code", {}, file.mode) },
    ],
  });
}

// From a file or directory back to the task it belongs to, directory by directory.
function trail(agentId, path) {
  const parts = path.split("/").filter(Boolean);
  const links = [];
  if (parts[4] === "tasks") links.push(link(`task ${parts[5]}`, "task", parts[1], parts[5]));
  for (let end = 6; end < parts.length; end += 1) {
    links.push(link(end === 6 ? "sandbox" : parts[end - 1], "files", agentId, "/" + parts.slice(0, end).join("/")));
  }
  return crumbs(...links);
}

const files = {
  load: ([agentId, path], signal) => get(filesPath(agentId, "browse", { path }), signal),
  show: (found, [agentId, path]) => [trail(agentId, path), element("h2", {}, path.split("/").pop()),
    fileTable(agentId, path, found, "Files")],
};

const file = {
  load: async () => null,
  show: (_, [agentId, path]) => [trail(agentId, path), element("h2", {}, path.split("/").pop()),
    element("div", { class: "whole" }, placeholder(agentId, path, path.split("/").pop()))],
};

export const wantHistory = frameworks.wantHistory;
export const views = { overview, agents, frameworks, tasks, agent, framework, task, files, file };
