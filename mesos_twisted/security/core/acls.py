"""The rules of Mesos's local authorizer: its `--acls` document, read strictly and compiled.

For one action the rules are tried in order and the first that matches decides; `permissive`
decides when none does. ANY matches and allows everyone, NONE matches everyone and allows nobody,
a list matches and allows its members. A role value `a/%` stands for every role below `a`.
Source: Mesos docs/authorization.md and acls.proto. A key or type Mesos would silently skip is
refused here, because a skipped rule grants. This module refuses to know who asks and why.
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from mesos_twisted.errors import MalformedError
from mesos_twisted.security.core.actions import (
    ACL_KEYS,
    AUTHORIZABLE_PATHS,
    OBJECT_KINDS,
    PARENT_ACL_KEYS,
    Action,
    ObjectKind,
)

#: Answers remembered per compiled rule list; past it, each question is decided afresh.
_MEMORY: Final = 4096


class Kind(enum.Enum):
    """How an entity of a rule is read."""

    SOME = "SOME"
    ANY = "ANY"
    NONE = "NONE"


@dataclass(frozen=True, slots=True)
class Entity:
    """The subjects or the objects of one rule."""

    kind: Kind
    values: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of an ACL: these principals, on these objects."""

    principals: Entity
    objects: Entity


@dataclass(frozen=True, slots=True)
class Acls:
    """A whole `--acls` document; `parents` holds the under-parent rules of nested launches."""

    permissive: bool = True
    rules: Mapping[Action, tuple[Rule, ...]] = field(default_factory=dict)
    parents: Mapping[Action, tuple[Rule, ...]] = field(default_factory=dict)


class CompiledRules:
    """The rules of one action seen by one principal: a question costs one dict look-up.

    `constant` is the answer to every question when the rules cannot tell objects apart, else None.
    """

    __slots__ = ("_answers", "_permissive", "_steps", "constant")

    def __init__(self, rules: tuple[Rule, ...], name: str, permissive: bool, roles: bool) -> None:
        steps: list[tuple[Kind, frozenset[str], tuple[str, ...], bool]] = []
        for rule in rules:
            who = rule.principals
            if who.kind is Kind.SOME and name not in who.values:
                continue
            outcome = who.kind is not Kind.NONE and rule.objects.kind is not Kind.NONE
            values = rule.objects.values
            below: tuple[str, ...] = ()
            if roles:
                below = tuple(sorted(v[:-1] for v in values if v.endswith("/%")))
                values = frozenset(v for v in values if not v.endswith("/%"))
            steps.append((rule.objects.kind, values, below, outcome))
            if rule.objects.kind is not Kind.SOME:
                break
        self._steps = tuple(steps)
        self._permissive = permissive
        self._answers: dict[str, bool] = {}
        self.constant: bool | None = None
        # Only SOME steps that decide like what follows them leave the answer the same for all,
        # but those are rare: a first step for everything, or no step, is what is worth seeing.
        if not steps:
            self.constant = permissive
        elif steps[0][0] is not Kind.SOME:
            self.constant = steps[0][3]

    def allows(self, value: str | None) -> bool:
        """May this principal act on this object? None asks about every object at once."""
        if value is None:
            return self._allows_any()
        answer = self._answers.get(value)
        if answer is None:
            answer = self._decide(value)
            if len(self._answers) < _MEMORY:
                self._answers[value] = answer
        return answer

    def _allows_any(self) -> bool:
        for kind, _, _, outcome in self._steps:
            if kind is not Kind.SOME:
                return outcome
        return self._permissive

    def _decide(self, value: str) -> bool:
        for kind, values, below, outcome in self._steps:
            if kind is not Kind.SOME or value in values or value.startswith(below):
                return outcome
        return self._permissive


def compile_rules(acls: Acls, action: Action, name: str, *, parent: bool = False) -> CompiledRules:
    """The rules of `action` as the principal `name` meets them."""
    table = acls.parents if parent else acls.rules
    roles = OBJECT_KINDS.get(action) is ObjectKind.ROLES
    return CompiledRules(table.get(action, ()), name, acls.permissive, roles)


def parse_acls(text: str | bytes) -> Acls:
    """The document's rules. Raises MalformedError with one sentence that names the place."""
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"The ACLs are not valid JSON: {error}.") from None
    if not isinstance(document, dict):
        raise MalformedError('The ACLs must be one JSON object, like {"permissive": false}.')
    permissive = document.pop("permissive", True)
    if not isinstance(permissive, bool):
        raise MalformedError("In the ACLs, `permissive` must be true or false.")
    rules: dict[Action, tuple[Rule, ...]] = {}
    parents: dict[Action, tuple[Rule, ...]] = {}
    for key, lines in document.items():
        if key in ACL_KEYS:
            action, kind, noun = ACL_KEYS[key]
            rules[action] = _parse_rules(key, lines, kind, noun)
        elif key in PARENT_ACL_KEYS:
            parents[PARENT_ACL_KEYS[key]] = _parse_rules(key, lines, ObjectKind.USERS, "users")
        else:
            raise MalformedError(_unknown(key, [*ACL_KEYS, *PARENT_ACL_KEYS, "permissive"]))
    if Action.TEARDOWN_FRAMEWORK in rules:
        # Rules written for Mesos say nothing of our call: who may end all may end one, nobody else.
        rules.setdefault(Action.KILL_TASK, rules[Action.TEARDOWN_FRAMEWORK])
    return Acls(permissive, rules, parents)


def _parse_rules(key: str, lines: Any, kind: ObjectKind, noun: str) -> tuple[Rule, ...]:
    if not isinstance(lines, list):
        raise MalformedError(f"In the ACLs, `{key}` must be a list of rules.")
    rules = []
    for index, line in enumerate(lines):
        where = f"{key}[{index}]"
        if not isinstance(line, dict):
            raise MalformedError(f"In the ACLs, {where} must be an object.")
        for name in line:
            if name not in ("principals", noun):
                raise MalformedError(_unknown(f"{where}.{name}", [f"{where}.{noun}"]))
        who = _parse_entity(f"{where}.principals", line.get("principals"))
        objects = _parse_entity(f"{where}.{noun}", line.get(noun))
        if kind is ObjectKind.IMPLICIT and objects.kind is Kind.SOME:
            raise MalformedError(
                f'In the ACLs, {where}.{noun} must be {{"type": "ANY"}} or {{"type": "NONE"}}.'
            )
        if kind is ObjectKind.PATHS and not objects.values <= AUTHORIZABLE_PATHS:
            raise MalformedError(
                f"In the ACLs, {where}.paths may only name {', '.join(sorted(AUTHORIZABLE_PATHS))}."
            )
        rules.append(Rule(who, objects))
    return tuple(rules)


def _parse_entity(where: str, entity: Any) -> Entity:
    if not isinstance(entity, dict):
        raise MalformedError(f"In the ACLs, {where} is missing or is not an object.")
    for name in entity:
        if name not in ("type", "values"):
            raise MalformedError(_unknown(f"{where}.{name}", [f"{where}.type", f"{where}.values"]))
    kind = entity.get("type", "SOME")
    if not isinstance(kind, str) or kind not in Kind.__members__:
        raise MalformedError(
            f"In the ACLs, {where}.type is {kind!r} and must be SOME, ANY or NONE; "
            "names go into `values`."
        )
    values = entity.get("values", [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise MalformedError(f"In the ACLs, {where}.values must be a list of strings.")
    # Mesos ignores the values of ANY and NONE.
    return Entity(Kind[kind], frozenset(values) if kind == "SOME" else frozenset())


def _unknown(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, 1)
    hint = f"; did you mean `{near[0]}`?" if near else "; remove it."
    return f"The ACLs hold an unknown key `{key}`{hint}"
