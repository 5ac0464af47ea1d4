"""What must hold when a healed world has been quiet for a while: I20, and I2's last word.

One master leads, every agent is registered, every framework subscribed, every launch has come to
an end that its framework knows or runs, nothing waits for an acknowledgement, nothing is left over.
"""

from __future__ import annotations

from mesos_twisted.agent.core.state import ExecutorKind, ExecutorState, Phase
from mesos_twisted.master.core.state import Agent
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.ids import FrameworkId, TaskId
from mesos_twisted.testing.sim.auditor_scene import AgentLife, Check, MasterLife, Scene
from mesos_twisted.testing.sim.auditor_tasks import FINAL, Tasks
from mesos_twisted.testing.sim.ledger import Launch

_State = m.TaskState
#: Longer than any grace of a simulated task.
KILLED_S = 15.0
#: An agent that leaves with these words will do so however often it is started.
HELPLESS = ("marked gone", "checkpoint is damaged")


class Settled(Check):
    """See the module's head."""

    def __init__(self, scene: Scene, tasks: Tasks) -> None:
        super().__init__(scene)
        self._tasks = tasks

    def settled(self) -> None:
        """All of it."""
        leading = [life.place.name for life in self.scene.leading()]
        if len(leading) != 1:
            self.scene.violated("I20", f"{len(leading)} masters lead", ", ".join(leading))
        leader = self.scene.leader()
        for name in self.scene.world.hosts:
            self._agent(name, leader)
        if leader is not None:
            self._nothing_waits(leader)
            self._frameworks(leader)
        for launch in self.scene.world.ledger.launches.values():
            self._launch(launch, leader)

    def _agent(self, name: str, leader: MasterLife | None) -> None:
        life = self.scene.agents.get(name)
        left = [one.sentence for one in self.scene.world.exits if one.who == name]
        if left and any(words in left[-1] for words in HELPLESS):
            # Nobody comes back from that before an operator has cleaned the work directory.
            return
        if life is None or not life.agent.alive:
            self.scene.violated("I20", f"Agent {name} does not run")
            return
        state = life.state
        known = None
        if leader is not None and state.agent_id is not None:
            known = leader.state.agents.get(state.agent_id)
        if state.phase is not Phase.RUNNING or known is None or not known.active:
            self.scene.violated(
                "I20", f"Agent {name} is not registered", f"{state.agent_id}, {state.phase.value}"
            )
        for (framework_id, task_id), stream in state.streams.items():
            if stream.pending and not self._over(framework_id, leader):
                told = ", ".join(status.state.value for status in stream.pending)
                self.scene.violated(
                    "I20", f"Agent {name} waits for acknowledgements of task {task_id}", told
                )
        if leader is not None and known is not None:
            self._agree(name, life, known)
        self._left_over(name, life)

    def _over(self, framework_id: FrameworkId, leader: MasterLife | None) -> bool:
        """Was it ended under an earlier leader, so that this one waits its time for it?"""
        known = None if leader is None else leader.state.frameworks.get(framework_id)
        if known is None or known.connected:
            return False
        ours = self.scene.world.frameworks.get(known.info.name)
        return ours is not None and ours.over is not None

    def _agree(self, name: str, life: AgentLife, known: Agent) -> None:
        """I11: the leader and the agent know the same tasks, in the same states, and executors."""
        here = {
            (framework_id, task_id): task.state
            for framework_id, framework in life.state.frameworks.items()
            for task_id, task in framework.tasks.items()
        }
        there = {key: task.state for key, task in known.tasks.items()}
        for key in sorted(here.keys() | there.keys()):
            if here.get(key) is not there.get(key):
                self.scene.violated(
                    "I11",
                    f"Task {key[1]} is {_word(here.get(key))} on {name} "
                    f"and {_word(there.get(key))} to the leader",
                )
        runs = {
            (framework_id, executor_id)
            for framework_id, framework in life.state.frameworks.items()
            for executor_id, one in framework.executors.items()
            if one.kind is not ExecutorKind.COMMAND and one.state is not ExecutorState.TERMINATED
        }
        counted = {
            (framework_id, one)
            for framework_id in known.executors
            for one in known.executors[framework_id]
        }
        for framework_id, executor_id in sorted(runs ^ counted):
            self.scene.violated(
                "I11",
                f"Executor {executor_id} is known to {name} or to the leader, not to both",
                framework_id,
            )

    def _left_over(self, name: str, life: AgentLife) -> None:
        """The launcher's journal and the rows say no more than the agent knows."""
        state = life.state
        for framework in state.frameworks.values():
            for executor in framework.executors.values():
                if not executor.tasks:
                    self.scene.violated("I6", f"Executor {executor.id} of {name} has no task")
        # An agent without its launcher cannot tell it to forget, until it starts again.
        remembered = [] if life.agent.launcher.is_lost else life.host.kernel.known()
        for entry in remembered:
            if entry.state != "running" and entry.container_id not in state.containers:
                self.scene.violated(
                    "I6", f"The launcher of {name} still remembers {entry.container_id}"
                )
        if life.host.rows.torn or life.host.rows.faults.broken:
            return
        tasks = sum(len(framework.tasks) for framework in state.frameworks.values())
        rows = life.host.rows.rows()
        written = sum(key.startswith("task/") for key in rows)
        if written != tasks:
            self.scene.violated("I18", f"{name} has {tasks} tasks and {written} rows of tasks")
        streams = {key.rsplit("/", 1)[0] for key in rows if key.startswith("update/")}
        if len(streams) != len(state.streams):
            self.scene.violated(
                "I18",
                f"{name} has {len(state.streams)} streams of updates and rows of {len(streams)}",
            )
        self._sandboxes(name, life)

    def _sandboxes(self, name: str, life: AgentLife) -> None:
        """Each belongs to an executor or waits to be deleted."""
        state = life.state
        known = {*state.garbage, *state.deleting}
        for framework in state.frameworks.values():
            known |= {one.directory for one in framework.executors.values()}
        if life.host.rows.lost:
            return
        for directory in sorted(life.host.sandboxes):
            parts = directory.split("/")
            if not any("/".join(parts[:end]) in known for end in range(1, len(parts) + 1)):
                self.scene.violated("I6", f"The sandbox {directory} on {name} is nobody's")

    def _nothing_waits(self, leader: MasterLife) -> None:
        state = leader.state
        for what, table in (
            ("registry operations", state.in_flight),
            ("agents being admitted", state.joining),
            ("agents being changed", state.changing),
        ):
            if table:
                self.scene.violated("I20", f"{what} do not come to an end", repr(list(table)))

    def _frameworks(self, leader: MasterLife) -> None:
        connected = {
            framework_id for framework_id, one in leader.state.frameworks.items() if one.connected
        }
        for name, framework in self.scene.world.frameworks.items():
            driver = framework.driver
            if framework.over is not None:
                if "removed" not in framework.over:
                    self.scene.violated("I20", f"Framework {name} gave up: {framework.over}")
                continue
            ours = None if driver is None else driver.session.framework_id
            if driver is None or not driver.session.subscribed or ours not in connected:
                self.scene.violated("I20", f"Framework {name} is not subscribed")

    def _launch(self, launch: Launch, leader: MasterLife | None) -> None:
        framework = self.scene.world.frameworks[launch.framework]
        runs = self._tasks.runs.get(launch.task_id, ())
        running = any(run.process.running for run in runs)
        if framework.over is not None:
            known = () if leader is None else leader.state.frameworks.values()
            if running and not any(one.info.name == launch.framework for one in known):
                self.scene.violated("I14", f"Task {launch.task_id} outlived its framework")
            return
        last = launch.last
        if running and launch.kill_asked is not None:
            if self.scene.now - launch.kill_asked > KILLED_S:
                self.scene.violated(
                    "I20",
                    f"Task {launch.task_id} was asked to end and runs",
                    f"since {launch.kill_asked:.3f} s",
                )
        if last is None:
            if launch.taken is True or runs:
                self.scene.violated(
                    "I2",
                    f"The framework of task {launch.task_id} was never told anything of it",
                    f"{len(runs)} processes of it started",
                )
        elif any(seen.state in FINAL for seen in launch.seen):
            if running:
                self.scene.violated("I4", f"Task {launch.task_id} is over and runs")
        elif not launch.over and not running and not self._lost(launch, leader):
            self.scene.violated(
                "I20",
                f"Task {launch.task_id} does not run and its framework was not told of an end",
                last.value,
            )

    def _lost(self, launch: Launch, leader: MasterLife | None) -> bool:
        """Is it unreachable, or unknown, and its agent not among those that are here?"""
        if launch.last not in (_State.TASK_UNREACHABLE, _State.TASK_UNKNOWN):
            return False
        if leader is None:
            return False
        agents = leader.state.agents
        here = any(agent_id == launch.agent_id for agent_id in agents)
        known = any(
            TaskId(launch.task_id) in framework.tasks
            for framework in leader.state.frameworks.values()
        )
        return not here and not known


def _word(state: m.TaskState | None) -> str:
    return "unknown" if state is None else state.value
