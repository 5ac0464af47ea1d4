"""Small documents of the legacy pages: resources, attributes, statuses, commands.

Plain dicts in the order and spelling that Mesos writes, ready for any JSON writer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from mesos_twisted.protocol import codec_json
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.protocol.generated.messages import Message
from mesos_twisted.resources.algebra import Resources
from mesos_twisted.resources.amounts import Lumps
from mesos_twisted.resources.convert import from_messages
from mesos_twisted.resources.parse import format_value
from mesos_twisted.resources.quantities import Quantities
from mesos_twisted.resources.values import Ranges, Value, to_float

Doc = dict[str, Any]
_encoder = msgspec.json.Encoder()


def encode(document: object) -> bytes:
    """The document as one line of ASCII JSON."""
    out = _encoder.encode(document)
    return out if out.isascii() else codec_json.ascii_only(out)


def raw(message: Message) -> msgspec.Raw:
    """A message, to stand in a document as its own JSON."""
    return msgspec.Raw(codec_json.encode(message))


def resources(held: Resources) -> Doc:
    """Scalars summed by name (the four usual ones always there), then ranges and sets as text."""
    scalars = {"disk": 0, "mem": 0, "gpus": 0, "cpus": 0}
    others: dict[str, Value] = {}
    for key, amount in held.items():
        name = f"{key.name}_revocable" if key.revocable else key.name
        if isinstance(amount, int):
            scalars[name] = scalars.get(name, 0) + amount
        elif isinstance(amount, Lumps):
            scalars[name] = scalars.get(name, 0) + sum(amount.sizes)
        elif isinstance(amount, Ranges):
            before = others.get(name)
            others[name] = before.add(amount) if isinstance(before, Ranges) else amount
        else:
            before = others.get(name)
            others[name] = before | amount if isinstance(before, frozenset) else amount
    document: Doc = {name: to_float(amount) for name, amount in scalars.items()}
    for name, value in others.items():
        document[name] = format_value(value)
    return document


def quantities(amounts: Quantities) -> Doc:
    """Scalars by name, those above zero only."""
    return {name: to_float(amount) for name, amount in sorted(amounts.items())}


def message_resources(items: tuple[m.Resource, ...]) -> Doc:
    """Like `resources`, from messages; what cannot be read counts as nothing."""
    held = from_messages(items)
    return resources(held if isinstance(held, Resources) else Resources({}))


def attributes(items: Iterable[m.Attribute]) -> Doc:
    """Numbers as numbers, all else as text."""
    document: Doc = {}
    for item in items:
        if item.scalar is not None:
            document[item.name] = item.scalar.value
        elif item.text is not None:
            document[item.name] = item.text.value
        elif item.ranges is not None:
            document[item.name] = format_value(Ranges((r.begin, r.end) for r in item.ranges.range))
        elif item.set is not None:
            document[item.name] = format_value(frozenset(item.set.item))
    return document


def labels(items: m.Labels) -> list[msgspec.Raw]:
    """The list inside a Labels message."""
    return [raw(label) for label in items.labels]


def status(item: m.TaskStatus) -> Doc:
    """One entry of a task's history."""
    document: Doc = {"state": item.state.value, "timestamp": item.timestamp or 0.0}
    if item.labels is not None:
        document["labels"] = labels(item.labels)
    if item.container_status is not None:
        document["container_status"] = container_status(item.container_status)
    if item.healthy is not None:
        document["healthy"] = item.healthy
    return document


def container_status(item: m.ContainerStatus) -> Doc:
    """Ids, addresses and cgroups of a container."""
    document: Doc = {}
    if item.container_id is not None:
        document["container_id"] = raw(item.container_id)
    if item.network_infos:
        document["network_infos"] = [network(info) for info in item.network_infos]
    if item.cgroup_info is not None:
        document["cgroup_info"] = raw(item.cgroup_info)
    return document


def network(item: m.NetworkInfo) -> Doc:
    """One network of a container."""
    document: Doc = {}
    if item.groups:
        document["groups"] = list(item.groups)
    if item.labels is not None:
        document["labels"] = labels(item.labels)
    if item.ip_addresses:
        document["ip_addresses"] = [raw(address) for address in item.ip_addresses]
    if item.name is not None:
        document["name"] = item.name
    if item.port_mappings:
        document["port_mappings"] = [raw(mapping) for mapping in item.port_mappings]
    return document


def command(item: m.CommandInfo | None) -> Doc:
    """What an executor runs."""
    if item is None:
        return {"argv": [], "uris": []}
    document: Doc = {"shell": item.shell}
    if item.value is not None:
        document["value"] = item.value
    document["argv"] = list(item.arguments)
    if item.environment is not None:
        document["environment"] = raw(item.environment)
    document["uris"] = [
        {"value": uri.value, "executable": bool(uri.executable)} for uri in item.uris
    ]
    return document
