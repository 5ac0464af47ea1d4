"""Which seed finds which planted bug, and the invariant that its world breaks.

A change of production code, of the faults or of the frameworks may move what a seed does: then
another one finds the bug, and `hunt` says which.
"""

from __future__ import annotations

from typing import Final

#: Bug to seed and invariant.
FOUND: Final[dict[str, tuple[int, str]]] = {
    "stream-over-with-its-task": (1, "I2"),
    "stray-acknowledgement-is-fatal": (1, "I17"),
    "updates-overtake": (0, "I3"),
    "early-kill-is-silent": (1, "I2"),
    "executor-takes-updates-along": (0, "I2"),
    "two-ends": (1, "I6"),
    "running-after-killing": (1, "I3"),
    "exit-status-reaped-elsewhere": (20, "truth"),
    "lost-before-its-end-is-told": (1, "I12"),
    "killed-and-launched": (1, "I6"),
    "launch-meets-a-leaving-framework": (0, "I2"),
    "lost-write-taken-for-written": (45, "I7"),
    "old-frameworks-must-come-first": (11, "I2"),
    "leader-stops-at-returning-agents": (0, "I17"),
    "framework-trusts-a-silent-stream": (3, "I20"),
    "watches-left-behind": (28, "I20"),
    "looking-ends-with-the-connection": (74, "I20"),
    "first-calls-lost-after-a-partition": (45, "I20"),
    "executor-not-counted": (1, "I1"),
    "returning-agent-is-free": (0, "I1"),
    "filter-ends-before-the-next-allocation": (0, "I13"),
    "revive-clears-other-roles": (1, "I13"),
    "suppressed-twice": (1, "I17"),
    "empty-row-blocks-the-start": (6, "I17"),
    "exit-while-away-unnoticed": (25, "I4"),
    "helper-must-have-lived": (2, "I17"),
    "orphans-stay": (2, "I6"),
    "nonsense-in-an-acknowledgement": (2, "I17"),
    "operators-miss-returning-tasks": (0, "I15"),
    "new-leader-forgets-the-unreachable": (44, "I18"),
    "unreachable-with-absent-framework": (42, "I17"),
    "agent-trusts-a-silent-master": (255, "I20"),
    "own-clock-ignored": (33, "I8"),
    "filter-on-more-than-was-left": (0, "I13"),
    "pid-taken-for-identity": (92, "I4"),
    "second-node-in-the-election": (9, "I20"),
    "old-connections-are-heard": (9, "I16"),
    "removed-while-suppressed": (773, "I17"),
    "executor-without-tasks-stays": (131, "I6"),
    "session-replaced-in-silence": (123, "I20"),
    "registry-without-a-fence": (52, "I8"),
}

#: Bugs that no seed was seen to find so far, and why that is hard.
NOT_FOUND: Final[dict[str, str]] = {
    "agent-obeys-anybody": (
        "an agent must have followed the next leader, and come back to a deposed master that "
        "does not know it yet"
    ),
    "torn-task-not-told": (
        "the torn row must be that of a task whose end was not told yet; seed 114 had one until "
        "agents drained and links were kept open"
    ),
}
