"""The metrics in Prometheus's text format: ids become labels, percentiles become quantiles."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from mesos_twisted.metrics.names import PERCENTILES

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_NOT_ALLOWED = re.compile(r"[^a-zA-Z0-9_]")
_QUANTILES = {suffix: f"{fraction:.4g}" for suffix, fraction in PERCENTILES}
_FRAMEWORK = re.compile(r"master/frameworks/([^/]+)/([^/]+)/(.+)\Z")
_ROLE = re.compile(r"(.*?)roles/(.*)/(suppressed|shares/dominant|active|resources/.+)\Z")


def render(values: Mapping[str, float], is_counter: Callable[[str], bool]) -> bytes:
    """One exposition of all metrics. Lines of one family stand together, with one TYPE."""
    families: dict[str, tuple[str, list[str]]] = {}
    for name, value in values.items():
        family, labels = _split(name)
        kind = "counter" if is_counter(name) else "gauge"
        text = f"{family}{{{','.join(labels)}}}" if labels else family
        families.setdefault(family, (kind, []))[1].append(f"{text} {_number(value)}\n")
    parts: list[str] = []
    for family, (kind, lines) in sorted(families.items()):
        parts.append(f"# TYPE {family} {kind}\n")
        parts += lines
    return "".join(parts).encode()


def _split(name: str) -> tuple[str, list[str]]:
    labels: list[str] = []
    base, _, last = name.rpartition("/")
    quantile = _QUANTILES.get(last)
    if quantile is not None:
        name, labels = base, [f'quantile="{quantile}"']
    framework = _FRAMEWORK.match(name)
    if framework is not None:
        name = "master/framework/" + framework[3]
        labels += [
            f'framework="{_escape(framework[1])}"',
            f'framework_id="{_escape(framework[2])}"',
        ]
    role = _ROLE.match(name)
    if role is not None:
        name = f"{role[1]}role/{role[3]}"
        labels.append(f'role="{_escape(role[2])}"')
    return "mesos_" + _NOT_ALLOWED.sub("_", name), labels


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return repr(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
