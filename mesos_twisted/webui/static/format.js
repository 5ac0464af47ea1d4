// Amounts, times and states as people read them.
import { element } from "./dom.js";

const KINDS = {
  running: "good", finished: "good", active: "good", connected: "good",
  staging: "warn", starting: "warn", killing: "warn", unreachable: "warn", inactive: "warn",
  disconnected: "warn", recovered: "warn", killed: "warn", draining: "warn", drained: "warn",
  deactivated: "warn",
  failed: "bad", lost: "bad", error: "bad", dropped: "bad", gone: "bad", "gone by operator": "bad",
};

export function plain(state) {
  return String(state || "unknown").replace(/^TASK_/, "").replaceAll("_", " ").toLowerCase();
}

export function badge(state) {
  const word = plain(state);
  const kind = Object.hasOwn(KINDS, word) ? KINDS[word] : "";
  return element("span", { class: `state ${kind}`.trim() }, word);
}

export function number(value) {
  return (value || 0).toLocaleString(undefined, { maximumFractionDigits: 2 });
}

export function megabytes(value) {
  return bytes((value || 0) * 1048576);
}

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  let left = value || 0;
  while (left >= 1024 && unit < units.length - 1) {
    left /= 1024;
    unit += 1;
  }
  return `${left.toLocaleString(undefined, { maximumFractionDigits: left < 10 ? 1 : 0 })} ${units[unit]}`;
}

export function amount(name, value) {
  return name === "mem" || name === "disk" ? megabytes(value) : number(value);
}

export function usage(name, used, total) {
  const held = (used && used[name]) || 0;
  const whole = (total && total[name]) || 0;
  const words = `${amount(name, held)} of ${amount(name, whole)}`;
  return element("span", {},
    element("meter", { min: 0, max: whole || 1, value: held, "aria-label": `${name}: ${words} used` }), words);
}

export function moment(seconds) {
  if (!seconds) return "";
  const date = new Date(seconds * 1000);
  return element("time", { datetime: date.toISOString(), title: date.toLocaleString() }, ago(seconds));
}

function ago(seconds) {
  const past = Math.max(0, Date.now() / 1000 - seconds);
  for (const [size, word] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (past >= size) return `${Math.floor(past / size)} ${word} ago`;
  }
  return past < 10 ? "just now" : `${Math.floor(past)} s ago`;
}

export function clock(seconds) {
  if (!seconds) return "";
  const date = new Date(seconds * 1000);
  return element("time", { datetime: date.toISOString() }, date.toLocaleString(undefined, {
    year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
    fractionalSecondDigits: 3,
  }));
}
