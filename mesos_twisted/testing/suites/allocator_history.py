"""Long random histories for the machine of the allocator suite: the same steps, mostly offers."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from mesos_twisted.master.core.allocator.interface import AgentSpec, Capability, FrameworkSpec
from mesos_twisted.testing.suites.allocator import AllocatorMachine
from mesos_twisted.testing.suites.allocator_samples import (
    ATTRIBUTES,
    CONSTRAINTS,
    MINIMUMS,
    ROLES,
    TOTALS,
)


def run_history(machine: type[AllocatorMachine], seed: int, steps: int) -> int:
    """Drive one machine through a long random history, mostly offers; how many were made.

    Complements Hypothesis, whose histories are short.
    """
    random = Random(seed)
    one = machine()  # type: ignore[call-arg]  # The classes of `allocator_machine` take nothing.
    made = 0

    def framework() -> FrameworkSpec:
        can = frozenset(c for c in Capability if random.random() < 0.8)
        roles = tuple(random.sample(ROLES, random.randint(1, 3)))
        constraints = random.choice(CONSTRAINTS)
        minimum = random.choice(MINIMUMS)
        return FrameworkSpec(roles, frozenset(), can, minimum, constraints=constraints)

    def agent() -> AgentSpec:
        region = random.choice([None, "here", "there"])
        host, total = random.choice(["h0", "h1"]), random.choice(TOTALS)
        zone, attributes = random.choice([None, "z0", "z1"]), random.choice(ATTRIBUTES)
        roles, below = random.random() < 0.9, random.random() < 0.9
        return AgentSpec(host, total, region, roles, below, zone, attributes)

    def refuse() -> float | None:
        return random.choice([None, 0.0, 0.3, 5.0, 5.0, 1e12, -1.0])

    def rare() -> None:
        pick, flag = random.randrange(100), random.random() < 0.7
        role, weight = random.choice(ROLES), random.choice([0.5, 1.0, 2.0])
        choices: list[Callable[[], object]] = [
            lambda: one.add_framework(framework()),
            lambda: one.add_agent(agent(), pick, flag),
            lambda: one.set_weight(role, weight),
            lambda: one.set_whitelist(random.choice([None, None, None, frozenset({"h0"})])),
        ]
        if "F-late" not in one.frameworks:
            choices.append(lambda: one.add_framework_with_running_tasks(framework()))
        if one.frameworks:
            choices.append(lambda: one.update_framework(pick, framework()))
            choices.append(lambda: one.set_framework_active(pick, flag))
            choices.extend([lambda: one.suppress_or_revive(pick, pick % 2 == 0, flag)] * 3)
        if one.agents:
            choices.append(lambda: one.update_agent(pick, agent(), flag))
            choices.append(lambda: one.set_agent_active(pick, flag))
        if len(one.frameworks) > 5:
            choices.append(lambda: one.remove_framework(pick))
        if len(one.agents) > 5:
            choices.append(lambda: one.remove_agent(pick))
        random.choice(choices)()

    one.begin([agent() for _ in range(4)], [framework() for _ in range(4)])
    names = [("cpus",), ("mem", "ports"), ("cpus", "mem")]
    for _ in range(steps):
        choice = random.random()
        if choice < 0.35:
            before = len(one.offers)
            seconds = random.choice([0.0, 0.25, 1.0, 5.0])
            one.allocate(seconds, random.getrandbits(64), random.choice([None, 1, 2]))
            made += len(one.offers) - before
        elif choice < 0.6 and one.offers:
            one.decline(random.randrange(100), refuse())
        elif choice < 0.7 and one.offers:
            one.accept(random.randrange(100), random.choice(names), refuse())
        elif choice < 0.8 and one.running:
            one.finish(random.randrange(100))
        else:
            rare()
        one.books_balance()
        one.role_sums_are_right()
    return made
