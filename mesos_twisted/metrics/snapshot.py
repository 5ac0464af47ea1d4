"""The documents of /metrics/snapshot and GET_METRICS."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from mesos_twisted.protocol.generated import messages as m

_encoder = msgspec.json.Encoder()


def document(values: Mapping[str, float]) -> bytes:
    """The flat JSON object of /metrics/snapshot."""
    return _encoder.encode(values)


def messages(values: Mapping[str, float]) -> tuple[m.Metric, ...]:
    """The list of GET_METRICS."""
    return tuple(m.Metric(name=name, value=value) for name, value in values.items())
