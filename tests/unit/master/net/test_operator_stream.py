"""A snapshot and the events after it make the next snapshot."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from twisted.internet.defer import Deferred

from mesos_twisted.protocol import agentlink
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.security.core.principal import Role
from mesos_twisted.testing.master_service import MasterWorld, Stream

TASKS = ("tasks", "unreachable_tasks", "completed_tasks")


class Model:
    """What a client that only listens knows."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        state = snapshot["subscribed"]["get_state"]
        self.tasks = {
            task["task_id"]["value"]: (task["state"], [s["state"] for s in _statuses(task)])
            for kind in TASKS
            for task in state["get_tasks"][kind]
        }
        self.agents = {a["agent_info"]["id"]["value"] for a in state["get_agents"]["agents"]}
        self.frameworks = {
            f["framework_info"]["id"]["value"]: f["connected"]
            for f in state["get_frameworks"]["frameworks"]
        }

    def hear(self, event: dict[str, Any]) -> None:
        """Apply one event."""
        kind = event["type"]
        if kind == "TASK_ADDED":
            task = event["task_added"]["task"]
            states = [status["state"] for status in _statuses(task)]
            self.tasks[task["task_id"]["value"]] = (task["state"], states)
        elif kind == "TASK_UPDATED":
            told = event["task_updated"]
            _, states = self.tasks[told["status"]["task_id"]["value"]]
            new = [*states, told["status"]["state"]]
            self.tasks[told["status"]["task_id"]["value"]] = (told["state"], new)
        elif kind == "AGENT_ADDED":
            self.agents.add(event["agent_added"]["agent"]["agent_info"]["id"]["value"])
        elif kind == "AGENT_REMOVED":
            self.agents.discard(event["agent_removed"]["agent_id"]["value"])
        elif kind in ("FRAMEWORK_ADDED", "FRAMEWORK_UPDATED"):
            framework = event[kind.lower()]["framework"]
            key = framework["framework_info"]["id"]["value"]
            self.frameworks[key] = framework["connected"]
        elif kind == "FRAMEWORK_REMOVED":
            key = event["framework_removed"]["framework_info"]["id"]["value"]
            self.frameworks.pop(key)


def _statuses(task: dict[str, Any]) -> list[dict[str, Any]]:
    statuses: list[dict[str, Any]] = task.get("statuses", [])
    return statuses


def operator(world: MasterWorld) -> Stream:
    """An operator's stream."""
    return world.open("/api/v1", {"type": "SUBSCRIBE"})


def update(framework_id: str, state: m.TaskState, number: int) -> bytes:
    """A task's update from its agent."""
    status = m.TaskStatus(
        task_id=m.TaskID(value="t"), state=state, timestamp=float(number), uuid=bytes([number] * 16)
    )
    return agentlink.frame(
        agentlink.StatusUpdate(framework_id=framework_id, status=status, latest_state=state)
    )


def story(world: MasterWorld) -> Iterator[None]:
    """What happens to a cluster, one change after the other."""
    link, _, agent_id = world.registered()
    yield
    stream = world.subscribe(failover_timeout=60)
    framework_id = stream.events()[0]["subscribed"]["framework_id"]["value"]
    yield
    world.clock.advance(0.01)
    offer = stream.events()[-1]["offers"]["offers"][0]
    task = {
        "name": "t",
        "task_id": {"value": "t"},
        "agent_id": {"value": agent_id},
        "command": {"value": "true"},
        "resources": offer["resources"][:2],
    }
    accept = {
        "offer_ids": [offer["id"]],
        "operations": [{"type": "LAUNCH", "launch": {"task_infos": [task]}}],
    }
    body = {"type": "ACCEPT", "framework_id": {"value": framework_id}, "accept": accept}
    headers = {"mesos_stream_id": stream.headers["Mesos-Stream-Id"]}
    world.request("POST", "/api/v1/scheduler", body, role=Role.FRAMEWORK, **headers)
    yield
    for number, state in enumerate((m.TaskState.TASK_RUNNING, m.TaskState.TASK_FINISHED), 1):
        link.dataReceived(update(framework_id, state, number))
        yield
        acknowledge = {
            "agent_id": {"value": agent_id},
            "task_id": {"value": "t"},
            "uuid": "AQEBAQEBAQEBAQEBAQEBAQ==" if number == 1 else "AgICAgICAgICAgICAgICAg==",
        }
        body = {
            "type": "ACKNOWLEDGE",
            "framework_id": {"value": framework_id},
            "acknowledge": acknowledge,
        }
        world.request("POST", "/api/v1/scheduler", body, role=Role.FRAMEWORK, **headers)
        yield
    stream.writer.lost("gone")
    yield
    world.request("POST", "/teardown", f"frameworkId={framework_id}".encode())
    yield
    link.dataReceived(agentlink.frame(agentlink.Unregister()))
    yield


def test_events_lead_from_one_snapshot_to_the_next(world: MasterWorld) -> None:
    """After every step a listener knows what a newcomer is told."""
    listening = operator(world)
    model = Model(listening.events()[0])
    for _ in story(world):
        for event in listening.events():
            model.hear(event)
        fresh = operator(world)
        told = Model(fresh.events()[0])
        fresh.writer.lost("seen enough")
        assert vars(model) == vars(told)


class ByHand:
    """Long work that goes on when the test says so; what comes before the snapshot is done."""

    def __init__(self) -> None:
        self.under_way: list[tuple[Iterator[object], Deferred[None]]] = []

    def take(self, steps: Iterator[object]) -> Deferred[None] | None:
        """Nothing of a snapshot is taken yet."""
        if "warm" in getattr(steps, "__qualname__", ""):
            for _ in steps:
                pass
            return None
        self.under_way.append((steps, Deferred()))
        return self.under_way[-1][1]

    def go_on(self, number: int, steps: int) -> None:
        """So many steps of what was begun as that number, or all there are."""
        taking, _ = self.under_way[number]
        for _ in islice(taking, steps):
            pass

    def finish(self) -> None:
        """All of it."""
        under_way, self.under_way = self.under_way, []
        for steps, done in under_way:
            for _ in steps:
                pass
            done.callback(None)


def test_a_change_while_a_snapshot_is_put_together_is_told_once(world: MasterWorld) -> None:
    """Wherever the change falls between two steps, the newcomer knows all and nothing twice."""
    by_hand, subscriptions = ByHand(), world.service.subscriptions
    turns = subscriptions._turns
    happening = story(world)
    most = 0
    while True:
        subscriptions._turns = by_hand  # type: ignore[assignment]  # only `take` is asked of it
        newcomers = [operator(world) for _ in range(7)]
        for number in range(7):
            by_hand.go_on(number, number)
        ended = next(happening, "over") == "over"
        by_hand.finish()
        subscriptions._turns = turns
        fresh = operator(world)
        told = Model(fresh.events()[0])
        for newcomer in newcomers:
            snapshot, *events = newcomer.events()
            most = max(most, len(events))
            model = Model(snapshot)
            for event in events:
                model.hear(event)
            assert vars(model) == vars(told)
        for one in (fresh, *newcomers):
            one.writer.lost("seen enough")
        if ended:
            break
    assert most > 1  # the beat, and what was held
