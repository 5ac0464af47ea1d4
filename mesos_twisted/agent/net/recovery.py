"""What was there before: the rows, and of their containers what the launcher still knows."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from mesos_twisted.agent.core import environment, paths, rows
from mesos_twisted.agent.core.events import Recovered, RecoveredContainer
from mesos_twisted.containerizer.core import container as cz
from mesos_twisted.containerizer.interfaces import IContainerizer
from mesos_twisted.errors import MesosError, UnavailableError
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import AgentId, ContainerId, ExecutorId, FrameworkId, TaskId

BOOT_ID = "/proc/sys/kernel/random/boot_id"


def boot_id(path: str = BOOT_ID) -> str:
    """Names this boot of the host. Raises UnavailableError."""
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError as error:
        raise UnavailableError(f"{path} cannot be read: {error.strerror}") from None


def known_containers(
    records: Mapping[str, bytes], work_dir: str
) -> dict[ContainerId, cz.ContainerConfig | None]:
    """Every container with a process that the rows tell of; unreadable rows are passed over."""
    found: dict[ContainerId, cz.ContainerConfig | None] = {}
    agent = _row(paths.AGENT_KEY, records.get(paths.AGENT_KEY, b""))
    agent_id = agent.info.id if isinstance(agent, rows.AgentRow) else None
    for key, value in records.items():
        if not key.startswith(("task/", "executor/")):
            continue
        row = _row(key, value)
        if isinstance(row, rows.TaskRow) and row.container_id is not None:
            framework_id = paths.unescape(key.split("/")[1])
            directory = _directory(agent_id, framework_id, row)
            cpus, mem, disk = environment.share(row.info, overhead=row.kind == "command")
            found[ContainerId(row.container_id)] = (
                None
                if directory is None
                else cz.ContainerConfig(
                    argv=(),
                    cwd=f"{work_dir}/{directory}",
                    cpus_milli=cpus,
                    mem_bytes=mem,
                    disk_bytes=disk,
                )
            )
        elif isinstance(row, rows.ExecutorRow) and row.kind == "custom":
            found[ContainerId(row.container_id)] = None
    return found


def _row(key: str, value: bytes) -> rows.Row | None:
    decode = rows.DECODERS.get(key.partition("/")[0])
    try:
        return None if decode is None else decode(value)
    except (MesosError, ValueError, RecursionError):
        # The core logs what it cannot read.
        return None


def _directory(agent_id: m.AgentID | None, framework_id: str, row: rows.TaskRow) -> str | None:
    """The task's sandbox, relative to the work directory."""
    if agent_id is None:
        return None
    run = paths.run_directory(
        AgentId(agent_id.value),
        FrameworkId(framework_id),
        ExecutorId(row.executor_id),
        ContainerId(row.run),
    )
    if row.kind != "default":
        return run
    return paths.task_directory(run, TaskId(row.info.task_id.value))


def earlier_agents(work_dir: str) -> tuple[str, ...]:
    """The ids of all agents with sandboxes here."""
    try:
        return tuple(sorted(os.listdir(os.path.join(work_dir, "slaves"))))
    except OSError:
        return ()


async def recover(
    records: Mapping[str, bytes],
    containerizer: IContainerizer,
    work_dir: str,
    now: float,
    boot: str | None = None,
    *,
    errors: tuple[str, ...] = (),
    refusal: Callable[[Recovered], str | None] = lambda event: None,
) -> Recovered:
    """The event that starts the core; `boot` stands for the host's boot id where it is given.

    `errors`: what the store had to give up. Where `refusal` gives a sentence for the rows alone, no
    container is looked at: those of an agent that may not start go on. Raises UnavailableError
    without a launcher.
    """
    agents = earlier_agents(work_dir)
    boot = boot or boot_id()
    current = {key: row for key, row in records.items() if not key.startswith("done/")}
    first = Recovered(current, (), boot, now, errors, agents)
    if refusal(first) is not None:
        return first
    wanted = {
        cz.ContainerId(one): config for one, config in known_containers(records, work_dir).items()
    }
    left: list[RecoveredContainer] = []
    for one in await containerizer.recover(wanted):
        container_id = ContainerId(one.container_id)
        if one.termination is None:
            left.append(RecoveredContainer(container_id, True, one.pid))
        elif one.pid:
            left.append(RecoveredContainer(container_id, False, one.pid, one.termination.status))
        else:
            # Never launched, or of a launcher that is gone: the core calls it unknown.
            await containerizer.forget(one.container_id)
    return Recovered(records, tuple(left), boot, now, errors, agents)
