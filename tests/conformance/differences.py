"""Where our answers differ from the recorded ones on purpose, and why: the one table of it.

A pattern is a whole line as `judge.all_differences` gives them, `*` standing for anything. Every
line must be explained here, and every pattern must still explain a line: what no longer differs
goes out of the table.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator

from mesos_twisted.agent import config as agent_config
from mesos_twisted.master import config as master_config

STREAMED = "pages over a whole state are streamed, so that their size does not matter"
COMPRESSED = "a large answer is compressed for who asks for it, and a cache must know"
NOT_BUILT = "a capability that is not built is not announced"
SUPPRESSED = "the repeated run suppresses its framework while the tasks start; see script.py"
REFUSED = "a call that is refused is not counted as one of the framework's"
ENDED = (
    "no executor process outlives its command task: what Mesos's would hold for a second more is "
    "free, and its container is gone"
)
NO_PROCESS = "no executor program is started for a command task; it is named, without a path"
LIBPROCESS = "our own measure of what libprocess's event queues tell"
RUN = "another value was given to this run"

TABLE: dict[str, str] = {
    '*version: "1.11.0" for "1.12.0"': "the interface spoken is that of the last release",
    "*capabilities*RESOURCE_PROVIDER*: missing": NOT_BUILT,
    "*capabilities*RESIZE_VOLUME*: missing": NOT_BUILT,
    "*capabilities*AGENT_OPERATION_FEEDBACK*: missing": NOT_BUILT,
    "*capabilities*QUOTA_V2*: missing": NOT_BUILT,
    '*url.scheme: "https" for "http"': "agents speak TLS",
    "master_* header content-length: missing": STREAMED,
    "master_* header transfer-encoding: extra": STREAMED,
    "* header vary: extra": COMPRESSED,
    "master_state__jsonp=cb.txt header x-content-type-options: extra": (
        "a script made of data is never taken for another type"
    ),
    "GET /files/read?path=/etc/passwd&offset=0 body: extra": (
        "a refusal says what was wrong; the recorded one is empty"
    ),
    "*.agent_info.checkpoint: missing": (
        "a field of the v0 message that the v1 AgentInfo does not have, let through by Mesos's "
        "direct JSON writer only"
    ),
    "master_after_*.completed_tasks[long].statuses[3].container_status: extra": (
        "a task that has ended keeps the status it ended with when its framework is removed; "
        "Mesos writes another TASK_KILLED over it"
    ),
    "agent_*state.json unreserved_resources_allocated.mem: 128.0 for 192.0": ENDED,
    "agent_*state.json unreserved_resources_allocated.cpus: 0.4 for 0.6": ENDED,
    "agent_monitor_statistics.json [fail]: missing": ENDED,
    "agent_monitor_statistics.json [ok]: missing": ENDED,
    "agent_containers.json [fail]: missing": ENDED,
    "agent_containers.json [ok]: missing": ENDED,
    "agent_v1_GET_CONTAINERS_*.containers[fail]: missing": ENDED,
    "agent_v1_GET_CONTAINERS_*.containers[ok]: missing": ENDED,
    "agent_*slave/executors_running*: 2.0 for 4.0": ENDED,
    "agent_*slave/executors_terminated*: 2.0 for 0.0": ENDED,
    "agent_*slave/cpus_percent*: 0.05 for 0.075": ENDED,
    "agent_*slave/cpus_used*: 0.4 for 0.6": ENDED,
    "agent_*slave/mem_percent*: 0.016 for 0.024": ENDED,
    "agent_*slave/mem_used*: 128.0 for 192.0": ENDED,
    "agent_*.executor_info.command.value: *": NO_PROCESS,
    "agent_*.executor_info.command.arguments.--launcher_dir=/usr/libexec/mesos: missing": (
        NO_PROCESS
    ),
    "agent_files_50.json *stderr].size: 4 for 614": (
        "stderr holds what the task wrote; Mesos's executor logs there too"
    ),
    "agent_*containerizer/fetcher/task_fetches_succeeded*: 0.0 for 4.0": (
        "a task without URIs fetches nothing, so nothing is counted"
    ),
    "master_*allocator/mesos/quota/roles//resources/cpus/consumed*: missing": (
        "a metric of the role with an empty name, which no framework has"
    ),
    "master_*allocator/mesos/quota/roles//resources/mem/consumed*: missing": (
        "a metric of the role with an empty name, which no framework has"
    ),
    "master_*/calls/revive*: 0.0 for 2.0": REFUSED,
    "master_*/calls/suppress*: 1.0 for 0.0": SUPPRESSED,
    "master_*/calls*: 14.0 for 15.0": "two calls that were refused, one that suppresses",
    "master_*/roles/[*]/suppressed*: 1.0 for 0.0": SUPPRESSED,
    "master_*master/messages_suppress_offers*: 1.0 for 0.0": SUPPRESSED,
    "master_*master/invalid_status_update_acknowledgements*: 0.0 for 1.0": (
        "each acknowledgement of the repeated run is valid; which one Mesos counted here besides "
        "the eleven valid ones is not known"
    ),
    "master_*master/messages_update_slave*: 0.0 for 1.0": (
        "an agent says all of itself when it registers; no second message follows"
    ),
    "master_*master/event_loop_lag_*: extra": LIBPROCESS,
    "master_*master/gc_pause_ms*: extra": "Mesos has no garbage collector",
    "master_*master/standby_links*: extra": "Mesos's agents keep no links to masters that stand by",
    "agent_*slave/standby_links*: extra": "Mesos's agents keep no links to masters that stand by",
    "master_*master/tls_handshakes*: extra": "the recorded master spoke no TLS",
    '*flags*logging_level*: "INFO" for "WARNING"': RUN,
    '*flags*zk_session_timeout*: "6secs" for "10secs"': (
        "a lost leader is replaced sooner; ADR 0700"
    ),
    '*flags*zk_session_timeout*: "30secs" for "10secs"': (
        "an agent only watches the election, and 50,000 of them must not keep ZooKeeper busy"
    ),
    '*flags*runtime_dir*: "<agent work_dir>/run" for "/var/run/mesos"': RUN,
}
#: Flags that Mesos prints and nobody may set here, besides those that are accepted to no effect.
NO_SUCH_FLAG = {"help": "a question to the command, not a setting"}
_FLAG = re.compile(r".* (?:.*\.)?flags(?:\.|\[)([a-z0-9_]+)\]?: (missing|extra)")


def reason_for_flag(line: str) -> str | None:
    """Why a flag is in one list only; None when that is not explained or is no such line."""
    found = _FLAG.fullmatch(line)
    if found is None:
        return None
    name, what = found.groups()
    master = line.startswith("master_")
    ours = _fields(master_config.MasterConfig if master else agent_config.AgentConfig)
    if what == "extra":
        return (
            "a setting of ours, or one that Mesos prints when it is set" if name in ours else None
        )
    if name in ours:
        return "no value is set" if ours[name] is None else None
    module = master_config if master else agent_config
    return (module.WITHOUT_EFFECT | module.REFUSED).get(name) or NO_SUCH_FLAG.get(name)


def stale_flags() -> list[str]:
    """Flags that are said not to exist here and do."""
    ours = _fields(agent_config.AgentConfig) | _fields(master_config.MasterConfig)
    known = set(ours)
    for module in (agent_config, master_config):
        known |= {*module.WITHOUT_EFFECT, *module.REFUSED}
    return sorted(known & set(NO_SUCH_FLAG))


def _fields(config: type) -> dict[str, object]:
    return {one.name: one.default for one in dataclasses.fields(config)}


def _regex(pattern: str) -> re.Pattern[str]:
    # A literal star is written [*].
    parts = [
        ".*" if one == "*" else re.escape(one.strip("[]") if one == "[*]" else one)
        for one in re.split(r"(\[\*\]|\*)", pattern)
    ]
    return re.compile("".join(parts))


def unexplained(lines: Iterable[str]) -> tuple[list[str], list[str]]:
    """The lines that nothing explains, and the patterns that explain nothing."""
    patterns = {pattern: _regex(pattern) for pattern in TABLE}
    used: set[str] = set()
    left = []
    for line in lines:
        found = set(_matching(patterns, line))
        used |= found
        if not found and reason_for_flag(line) is None:
            left.append(line)
    return left, sorted(set(patterns) - used)


def _matching(patterns: dict[str, re.Pattern[str]], line: str) -> Iterator[str]:
    return (name for name, regex in patterns.items() if regex.fullmatch(line))
