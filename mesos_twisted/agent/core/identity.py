"""Whom a starting agent is: the one its rows tell of, a new one, or none that may start.

    rows that cannot be read   strict: it does not start; otherwise they are set aside and counted
    other flags than before    it does not start, or is a new agent when the host was rebooted
    recover=cleanup            it is the agent it was, whatever else: only to end what is left of it

Every refusal says what is wrong and how to go on without deleting anything by hand.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from mesos_twisted.agent.core import compatibility, paths, rows
from mesos_twisted.agent.core.effects import Checkpoint, Count, Effect, Forget, Log, StopAgent
from mesos_twisted.agent.core.events import Recovered
from mesos_twisted.agent.core.restore import Read
from mesos_twisted.agent.core.state import AgentState, Policy
from mesos_twisted.protocol.generated import messages as m

#: Unreadable rows named in a sentence; the log has all of them.
_NAMED = 3
#: Rows that stand for something that ran, or for a word that is owed.
_LIVE = ("task/", "executor/", "update/")
NO_IDENTITY = "the row of the agent's own id is gone"


def refusal(
    policy: Policy, info: m.AgentInfo, read: Read, event: Recovered, rebooted: bool
) -> str | None:
    """Why an agent with this policy and `info` may not start on these rows, or None."""
    if policy.recover == "cleanup":
        return None
    errors = _errors(read, event)
    if errors and policy.strict:
        return _unreadable(errors)
    if read.agent is None or rebooted:
        return None
    problem = compatibility.check(policy.reconfiguration_policy, read.agent.info, info)
    return None if problem is None else problem.sentence


def settle(
    state: AgentState, out: list[Effect], read: Read, event: Recovered, rebooted: bool
) -> bool:
    """Afterwards `state.info` is the agent's own, and `read.agent` None for a new one.

    False: it may not start, and StopAgent says why.
    """
    sentence = refusal(state.policy, state.info, read, event, rebooted)
    if sentence is not None:
        out.append(Log("error", "{why}", (("why", sentence),)))
        out.append(StopAgent(1, sentence))
        return False
    errors = _errors(read, event)
    for error in errors:
        out.append(Log("warn", "Recovery goes on although {why}", (("why", error),)))
    if errors:
        out.append(Count("slave/recovery_errors", len(errors)))
    _set_aside(out, read, event.records)
    if read.agent is None:
        if any(key != paths.BOOT_KEY for key in event.records):
            _forget_all(event.records, out)
    elif state.policy.recover == "cleanup":
        state.info = read.agent.info
    else:
        _same_or_new(state, out, read, event)
    return True


def _same_or_new(state: AgentState, out: list[Effect], read: Read, event: Recovered) -> None:
    assert read.agent is not None
    problem = compatibility.check(state.policy.reconfiguration_policy, read.agent.info, state.info)
    if problem is None:
        state.info = msgspec.structs.replace(state.info, id=read.agent.info.id)
        if state.info != read.agent.info:
            out.append(rows.agent(state.info, rows.leader_of(read.agent)))
        return
    # The host was rebooted: nothing runs any more, so nothing ties us to the old id.
    fields = (("why", problem.sentence),)
    out.append(Log("warn", "Starting as a new agent after a reboot: {why}", fields))
    _forget_all(event.records, out)
    read.agent = None


def _errors(read: Read, event: Recovered) -> list[str]:
    found = [*event.errors]
    found += [f"row {key} cannot be read ({why})" for key, why in read.errors]
    if read.agent is None and any(key.startswith(_LIVE) for key in event.records):
        found.append(NO_IDENTITY)
    return found


def _unreadable(errors: list[str]) -> str:
    more = len(errors) - _NAMED
    named = "; ".join(errors[:_NAMED]) + (f"; and {more} more" if more > 0 else "")
    return (
        f"The agent's checkpoint is damaged: {named}. Restore work_dir/meta from a copy; or start "
        "with --no-strict, which goes on without them: what ran for them is ended and told to be "
        f"gone; or {compatibility.START_ANEW}."
    )


def _set_aside(out: list[Effect], read: Read, records: Mapping[str, bytes]) -> None:
    """What cannot be read is out of the way of the next start, and still there to look at."""
    for key, _ in read.errors:
        out.append(Checkpoint(paths.UNREADABLE + key, records[key]))
        out.append(Forget(key))


def _forget_all(records: Mapping[str, bytes], out: list[Effect]) -> None:
    out.append(Log("warn", "Starting as a new agent: what is left of the old one is forgotten"))
    keys = (key for key in sorted(records) if not key.startswith(paths.UNREADABLE))
    out.extend(Forget(key) for key in keys if key != paths.BOOT_KEY)
