"""What frameworks were told of their tasks, against what happened on the machines: I3, I4, I5.

An update's uuid stays what it was, updates come in order, each once the one before it was
acknowledged, and the last says how the process ended. A machine that lost its memory (a power cut,
a torn row, a killed launcher) may not know; everything else is held to the truth.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mesos_twisted.agent.core.words import wait_words
from mesos_twisted.master.core import events as ev
from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.states import TERMINAL
from mesos_twisted.testing.sim.agent import SimHost
from mesos_twisted.testing.sim.auditor_scene import Check, MasterLife, MasterTurn, Scene
from mesos_twisted.testing.sim.kernel import Process
from mesos_twisted.testing.sim.ledger import Launch, Seen

State = m.TaskState
#: How far a task is; a later update never says less.
_RANKS = {
    State.TASK_STAGING: 0,
    State.TASK_STARTING: 1,
    State.TASK_RUNNING: 2,
    State.TASK_KILLING: 3,
}
#: Ends that stay: LOST and GONE_BY_OPERATOR are taken back when the agent returns after all.
FINAL = frozenset(
    {
        State.TASK_FINISHED,
        State.TASK_FAILED,
        State.TASK_KILLED,
        State.TASK_ERROR,
        State.TASK_DROPPED,
        State.TASK_GONE,
    }
)
_RECONCILED = m.TaskStatusReason.REASON_RECONCILIATION
#: A process may be dying for so long after its task was said to be over.
GRACE_S = 10.0
#: The rest of a group may run for so long after one of it did not finish, while its agent lives.
GROUP_S = 30.0


@dataclass(slots=True)
class Run:
    """A process of a task, and how much its machine had forgotten when it started."""

    name: str
    host: SimHost
    process: Process
    memory: tuple[int, int, int]


@dataclass(slots=True)
class Story:
    """What a framework was told of one task with a uuid."""

    updates: dict[bytes, Seen] = field(default_factory=dict)
    last: Seen | None = None
    memory: tuple[int, int, int] | None = None
    #: Was it ever said to be unreachable?
    unreachable: bool = False


def memory_of(host: SimHost) -> tuple[int, int, int]:
    """It changes whenever the machine forgets something: reboots, launchers lost, torn rows."""
    return (host.kernel.boots, host.kernel.launchers_lost, host.rows.torn)


def rank(state: m.TaskState) -> int:
    """How far a task in this state is."""
    return 4 if state in TERMINAL else _RANKS.get(state, 0)


def natural(process: Process) -> bool:
    """Did it end by itself, as its command said?"""
    after_s, ended = process.fate.after_s, process.ended_at
    if after_s is None or ended is None or process.status != process.fate.status:
        return False
    return abs(ended - process.started_at - after_s) < 1e-6 and not process.dying


class Tasks(Check):
    """See the module's head."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.runs: dict[str, list[Run]] = {}
        self.stories: dict[str, Story] = {}
        #: Tasks that a master asked to end.
        self.killed: set[str] = set()
        #: Tasks that an operator asked to end.
        self._by_operator: set[str] = set()
        #: Tasks that were sent to an agent as a group, each with all of them.
        self.groups: dict[str, tuple[str, ...]] = {}

    # I5: a task starts once

    def started(self, host: SimHost, name: str, process: Process) -> None:
        """A process starts."""
        task_id = process.task_id
        if not task_id:
            return
        runs = self.runs.setdefault(task_id, [])
        runs.append(Run(name, host, process, memory_of(host)))
        launch = self.scene.world.ledger.launches.get(task_id)
        if len(runs) > 1:
            where = " and ".join(one.name for one in runs)
            self.scene.violated("I5", f"Task {task_id} was started {len(runs)} times", where)
        if launch is None:
            self.scene.violated("I5", f"Task {task_id} was started and nobody launched it", name)
        elif launch.taken is False:
            self.scene.violated(
                "I5", f"Task {task_id} was started and its launch was refused", name
            )
        else:
            self._not_over(launch)

    def _not_over(self, launch: Launch) -> None:
        for seen in launch.seen:
            if seen.state in FINAL and seen.reason is not _RECONCILED:
                self.scene.violated(
                    "I5",
                    f"Task {launch.task_id} was started after its framework was told "
                    f"{seen.state.value}",
                    f"{seen.message} at {seen.at:.3f} s",
                )

    # I3: one stream of updates for each task

    def told(self, launch: Launch, seen: Seen) -> None:
        """A framework got an update."""
        story = self.stories.get(launch.task_id)
        if story is None:
            story = self.stories[launch.task_id] = Story()
        if seen.state is State.TASK_UNREACHABLE:
            story.unreachable = True
        if seen.uuid is None:
            self._told_by_master(launch, story, seen)
            return
        first = story.updates.get(seen.uuid)
        excused = self._forgot(launch)
        if first is not None:
            self.scene.probes.sometimes("update retried")
            self._same(launch, first, seen)
            if story.last is not None and story.last.uuid != seen.uuid and not excused:
                self._wrong_order(launch, story.last, seen, "came again after")
            return
        last = story.last
        story.updates[seen.uuid], story.last = seen, seen
        if last is not None and not excused:
            self._next(launch, last, seen)
        if seen.state in TERMINAL:
            self._end(launch, seen, excused)

    def _same(self, launch: Launch, first: Seen, again: Seen) -> None:
        told = (first.state, first.message, first.reason, first.source)
        if told != (again.state, again.message, again.reason, again.source):
            self.scene.violated(
                "I3",
                f"An update of task {launch.task_id} came again and said something else",
                f"{first.state.value} {first.message!r}, then {again.state.value} "
                f"{again.message!r}",
            )

    def _next(self, launch: Launch, last: Seen, seen: Seen) -> None:
        if last.state in TERMINAL:
            self._wrong_order(launch, last, seen, "came after the end")
        elif rank(seen.state) < rank(last.state):
            self._wrong_order(launch, last, seen, "goes back behind")
        elif last.uuid not in launch.acked:
            self._wrong_order(launch, last, seen, "did not wait for the acknowledgement of")

    def _wrong_order(self, launch: Launch, last: Seen, seen: Seen, how: str) -> None:
        self.scene.violated(
            "I3",
            f"Task {launch.task_id}: the update {seen.state.value} {how} {last.state.value}",
            f"{seen.message!r} after {last.message!r} of {last.at:.3f} s",
        )

    def _told_by_master(self, launch: Launch, story: Story, seen: Seen) -> None:
        last = story.last
        if seen.state is State.TASK_LOST:
            self.scene.probes.sometimes("task lost")
        if seen.state is State.TASK_UNREACHABLE:
            self.scene.probes.sometimes("task unreachable")
        if seen.source is not m.TaskStatusSource.SOURCE_MASTER:
            self.scene.violated(
                "I3",
                f"An update of task {launch.task_id} has no uuid and is not the master's",
                f"{seen.state.value} {seen.message!r}",
            )
        alive = seen.state in _RANKS
        if alive and story.unreachable:
            self.scene.probes.sometimes("task recovered from unreachable")
        if last is None or not alive or self._forgot(launch):
            return
        if rank(seen.state) < rank(last.state):
            self._wrong_order(launch, last, seen, "by the master goes back behind")

    def _forgot(self, launch: Launch) -> bool:
        """Did the task's machine lose memory since the launch?"""
        runs = self.runs.get(launch.task_id)
        if runs:
            return any(memory_of(one.host) != one.memory for one in runs)
        # It never started: the machine is the one whose agent has the id.
        story = self.stories.get(launch.task_id)
        for life in self.scene.agents.values():
            if life.state.agent_id == launch.agent_id:
                memory = memory_of(life.host)
                if story is not None and story.memory is None:
                    story.memory = memory
                return story is not None and story.memory != memory
        return True

    # The truth of ends

    def _end(self, launch: Launch, seen: Seen, excused: bool) -> None:
        runs = self.runs.get(launch.task_id)
        process = runs[-1].process if runs else None
        if seen.state is State.TASK_FINISHED:
            if process is None or process.running or process.status != 0:
                self._lie(launch, seen, process)
            return
        if seen.state is State.TASK_KILLED and not self._was_killed(launch):
            self._lie(launch, seen, process, "and nobody had asked for that")
        if process is None:
            if seen.message is not None and seen.message.startswith("Command "):
                self._lie(launch, seen, process)
            if seen.reason is m.TaskStatusReason.REASON_TASK_KILLED_DURING_LAUNCH:
                self.scene.probes.sometimes("kill during launch")
            return
        said = seen.message is not None and seen.message.startswith("Command ")
        if said and (
            process.status is None or seen.message != "Command " + wait_words(process.status)
        ):
            self._lie(launch, seen, process)
        elif natural(process) and not excused and not self._was_killed(launch):
            if process.status == 0 or seen.state is not State.TASK_FAILED or not said:
                self._lie(launch, seen, process)

    def _lie(
        self, launch: Launch, seen: Seen, process: Process | None, why: str | None = None
    ) -> None:
        if why is None:
            if process is None:
                why = "and no process of it ever started"
            elif process.status is None:
                why = "and its process runs"
            else:
                why = f"and its process {wait_words(process.status)}"
        self.scene.violated(
            "truth",
            f"The framework of task {launch.task_id} was told {seen.state.value} {why}",
            f"{seen.message!r}, {None if seen.reason is None else seen.reason.value}",
        )

    def _was_killed(self, launch: Launch) -> bool:
        if launch.kill_asked is not None or launch.task_id in self.killed:
            return True
        group = self._group(launch)
        for one in group:
            if one is launch:
                continue
            bad = any(s.state in TERMINAL and s.state is not State.TASK_FINISHED for s in one.seen)
            ended = [r.process.status for r in self.runs.get(one.task_id, ())]
            asked = one.kill_asked is not None or one.task_id in self.killed
            if bad or asked or any(status for status in ended):
                self.scene.probes.sometimes("executor group killed")
                return True
        return False

    def _group(self, launch: Launch) -> list[Launch]:
        """The tasks that were launched with it, all or none."""
        ledger = self.scene.world.ledger.launches
        names = self.groups.get(launch.task_id, ())
        return [ledger[name] for name in names if name in ledger]

    # I11: nobody's task is killed without a word

    def master_turn(self, life: MasterLife, turn: MasterTurn) -> None:
        """Kills go out."""
        if isinstance(turn.event, ev.TaskKillAsked):
            self._by_operator.add(turn.event.task_id)
        for agent_id, message in turn.ordered:
            kind = type(message)
            if kind is agentlink.KillTask:
                assert isinstance(message, agentlink.KillTask)
                self._kill(message, turn)
            elif isinstance(message, agentlink.RunTaskGroup):
                group = tuple([task.task_id.value for task in message.task_group.tasks])
                self.groups.update(dict.fromkeys(group, group))
            elif kind is agentlink.ShutdownFramework or kind is agentlink.Shutdown:
                self._shut_down(life, agent_id, message)
            elif isinstance(message, agentlink.Reregistered) and message.removed:
                for launch in self._on(agent_id):
                    self.killed.add(launch.task_id)

    def _kill(self, message: agentlink.KillTask, turn: MasterTurn) -> None:
        self.killed.add(message.task_id)
        launch = self.scene.world.ledger.launches.get(message.task_id)
        if launch is None or launch.kill_asked is not None:
            if isinstance(turn.event, ev.AgentSaid):
                self.scene.probes.sometimes("kill of a task with an old agent link")
            return
        if message.task_id in self._by_operator:
            return
        told = [seen.state for seen in launch.seen]
        lost = any(state in TERMINAL for state in told)
        plan = self.scene.world.frameworks[launch.framework].plan
        if plan.partition_aware and plan.checkpoint and not lost:
            self.scene.violated(
                "I11",
                f"Task {launch.task_id} of a partition-aware framework is killed and nobody asked",
                ", ".join(state.value for state in told),
            )

    def _shut_down(
        self, life: MasterLife, agent_id: str | None, message: agentlink.FromMaster
    ) -> None:
        for launch in self._on(agent_id):
            self.killed.add(launch.task_id)

    def _on(self, agent_id: str | None) -> list[Launch]:
        launches = self.scene.world.ledger.launches.values()
        return [one for one in launches if agent_id is None or one.agent_id == agent_id]

    # I4: what is over does not run

    def second(self) -> None:
        """No process outlives the end of its task."""
        ledger = self.scene.world.ledger.launches
        for host in self.scene.world.hosts.values():
            for process in host.kernel.running():
                launch = ledger.get(process.task_id)
                if launch is None:
                    continue
                if not process.dying:
                    self._over(launch)
                    self._group_over(launch)

    def _over(self, launch: Launch) -> None:
        story = self.stories.get(launch.task_id)
        last = None if story is None else story.last
        if last is None or last.state not in FINAL or self.scene.now - last.at < GRACE_S:
            return
        self.scene.violated(
            "I4",
            f"Task {launch.task_id} runs and its framework was told {last.state.value}",
            f"{last.message!r} at {last.at:.3f} s",
        )

    def _group_over(self, launch: Launch) -> None:
        """A group ends as a whole when one of it did not finish."""
        if launch.task_id not in self.groups:
            return
        for one in self._group(launch):
            for run in self.runs.get(one.task_id, ()):
                process = run.process
                ended = process.ended_at
                if not process.status or ended is None or self._forgot(one):
                    continue
                agent = self.scene.world.agents.get(run.name)
                life = self.scene.agents.get(run.name)
                if agent is None or life is None or self.scene.now - life.began < GROUP_S:
                    continue
                if self.scene.now - ended > GROUP_S:
                    self.scene.violated(
                        "I4",
                        f"Task {launch.task_id} runs on, and {one.task_id} of its group did not "
                        "finish",
                        f"{wait_words(process.status)} at {ended:.3f} s",
                    )
