"""The simulated network: nodes, names, and the directed links between them with their faults.

    network = SimNetwork(clock)
    node = network.node("m1", "10.0.0.1", "m1.sim")     SimReactor(node, "m1/master") runs on it
    network.shape(a, b, Profile(...))                   latency, jitter, bandwidth, pieces; one way
    network.cut(a, b)          a's packets to b vanish; those that TCP repeats arrive after `heal`
    network.cut(a, b, Cut.RESET)    whatever a sends to b is answered by a reset to both
    network.reset(a, b)        connections between them are reset now
    node.power_cut()           nobody is told: peers' connections stay half-open
    node.power_on()            what peers still send is answered by a reset
    node.refusing = True       newcomers get a refusal, as from a firewall that rejects
    node.dns_down = True       no name is found; node.names overrides the network's names
    node.step_clock(s), node.set_rate(r)      skew and drift

Every connection has two directions (`stream.SimTransport`), each in order; packets of different
connections overtake each other as latency wills. What a process does is not known here.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from mesos_twisted.errors import BugError
from mesos_twisted.testing.sim.clock import SimClock

#: When worlds begin, in epoch seconds (2026-01-01).
EPOCH: Final = 1_767_225_600.0
#: The kernel gives up a connection whose data nobody acknowledges (Linux: tcp_retries2).
GIVE_UP_S: Final = 924.6
#: TCP's first and longest wait before it repeats a packet.
_REPEAT_S, _REPEAT_CAP_S = 0.2, 120.0
_LOOPBACK_S = 0.00002
_FIRST_PORT: Final = 32768
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Profile:
    """How one direction of a link carries packets.

    `jitter_s` is the most that is added to `latency_s`; `bytes_per_s` None is no limit; `pieces` is
    the chance that a write is cut into random pieces (1 byte to 64 KiB), `joined` that a piece
    waits for the next one to be read with it.
    """

    latency_s: float = 0.0005
    jitter_s: float = 0.0
    bytes_per_s: float | None = None
    pieces: float = 0.0
    joined: float = 0.0


class Cut(enum.Enum):
    """What becomes of packets on a link that is cut."""

    BLACK_HOLE = "black hole"
    RESET = "reset"


class Packet(Protocol):
    """Something on its way: part of one connection, in one direction."""

    #: World time before which nothing of its direction may arrive.
    last_arrival: float
    #: World time until which its direction waits for what is being repeated.
    repeated_at: float

    def arrive(self, what: Any) -> None:
        """It is there."""

    def stalled(self, now: float) -> None:
        """It did not arrive and will be repeated."""

    def refused(self) -> None:
        """Something on the way answers with a reset, to both ends."""


class Process(Protocol):
    """A process on a node, to the network."""

    name: str
    alive: bool
    paused: bool

    def kill(self) -> None:
        """SIGKILL."""

    def vanish(self) -> None:
        """The machine lost its power."""

    def clock_changed(self) -> None:
        """The node's clock is another."""


class Listening(Protocol):
    """A port that listens, to the network."""

    interface: str

    def arrive(self, client: Any) -> None:
        """Somebody wants to connect."""


class Link:
    """One direction between two nodes."""

    __slots__ = ("_clock", "_free_at", "_held", "_random", "_since", "cut", "name", "profile")

    def __init__(self, clock: SimClock, name: str, profile: Profile) -> None:
        self._clock = clock
        self._random = clock.random(f"link {name}")
        self._held: list[tuple[Packet, Any]] = []
        self._since = 0.0
        self._free_at = 0.0
        self.name = name
        self.profile = profile
        self.cut: Cut | None = None

    def carry(self, packet: Packet, what: Any, size: int) -> None:
        """`packet.arrive(what)` is called once it is there, behind what its direction sent
        before."""
        clock, profile = self._clock, self.profile
        due = clock.now + profile.latency_s
        if profile.jitter_s:
            due += profile.jitter_s * self._random.random()
        if profile.bytes_per_s is not None:
            start = self._free_at if self._free_at > clock.now else clock.now
            self._free_at = start + size / profile.bytes_per_s
            due += self._free_at - clock.now
        if due < packet.last_arrival:
            due = packet.last_arrival
        packet.last_arrival = due
        clock.at(due, None, self._arrived, (packet, what), due)

    def pieces(self, size: int) -> int:
        """How many of `size` bytes travel together; at most 64 KiB."""
        size = min(size, 65536)
        chance = self.profile.pieces
        if not chance or size < 2 or self._random.random() >= chance:
            return size
        if self._random.random() < 0.3:
            return 1
        return self._random.randint(1, size)

    def joins(self) -> bool:
        """Whether a piece waits for the next."""
        return bool(self.profile.joined) and self._random.random() < self.profile.joined

    def hold(self, packet: Packet, what: Any) -> None:
        """Keep it until the link is whole again."""
        self._held.append((packet, what))
        packet.stalled(self._clock.now)

    def begin(self, cut: Cut) -> None:
        """From now on nothing gets through."""
        if self.cut is None:
            self._since = self._clock.now
        self.cut = cut

    def heal(self) -> None:
        """TCP repeats what was lost: later, the longer the link was cut."""
        self.cut = None
        held, self._held = self._held, []
        clock = self._clock
        outage = min(_REPEAT_CAP_S, max(_REPEAT_S, clock.now - self._since))
        seen: dict[Packet, None] = {}
        for packet, what in held:
            if packet not in seen:
                seen[packet] = None
                due = clock.now + self._random.uniform(_REPEAT_S, _REPEAT_S + outage)
                packet.repeated_at = due
                packet.last_arrival = max(packet.last_arrival, due)
            due = packet.repeated_at
            clock.at(due, None, self._arrived, (packet, what), due)

    def _arrived(self, packet: Packet, what: Any) -> None:
        if self.cut is None:
            if self._clock.now < packet.repeated_at:
                # Something before it is still missing.
                due = packet.repeated_at
                self._clock.at(due, None, self._arrived, (packet, what), due)
            else:
                packet.arrive(what)
        elif self.cut is Cut.RESET:
            packet.refused()
        else:
            self.hold(packet, what)


class SimNode:
    """A machine: its address, clock, processes and ports. Made by `SimNetwork.node`."""

    def __init__(self, network: SimNetwork, name: str, address: str) -> None:
        self.network = network
        self.clock = network.clock
        self.name = name
        self.address = address
        self.up = True
        #: Newcomers get a refusal though somebody listens.
        self.refusing = False
        #: No name is found.
        self.dns_down = False
        #: Host names that mean something else here; None: not found.
        self.names: dict[str, str | None] = {}
        self.processes: dict[Process, None] = {}
        self.listening: dict[int, Listening] = {}
        self.rate = 1.0
        #: Its clock showed `base_local` at the world's `base_world`.
        self.base_world, self.base_local = network.clock.now, EPOCH + network.clock.now
        self._next_port = _FIRST_PORT
        #: Ends of connections that its last kernel had, and what reaches them no more.
        self._lost: dict[Packet, None] = {}

    def __repr__(self) -> str:
        return f"<SimNode {self.name}>"

    # Its clock

    def seconds_at(self, time: float) -> float:
        """Epoch seconds on this node's clock at the world's `time`."""
        return self.base_local + (time - self.base_world) * self.rate

    def step_clock(self, seconds: float) -> None:
        """Set the clock forward, or back."""
        self._rebase(seconds, self.rate)

    def set_rate(self, rate: float) -> None:
        """So many of its seconds in one of the world's: drift."""
        self._rebase(0.0, rate)

    def _rebase(self, step: float, rate: float) -> None:
        if rate <= 0:
            raise BugError(f"A clock cannot run at the rate {rate:g}")
        now = self.clock.now
        self.base_local, self.base_world = self.seconds_at(now) + step, now
        self.rate = rate
        for process in self.processes:
            process.clock_changed()

    # Power

    def power_cut(self) -> None:
        """Processes and kernel are gone, and nobody is told."""
        self.up = False
        self.clock.note(self.name, "power cut")
        for process in tuple(self.processes):
            process.vanish()
        self.listening.clear()

    def power_on(self) -> None:
        """The machine boots, without processes; peers that still send are reset."""
        self.up = True
        self.clock.note(self.name, "power on")
        lost, self._lost = self._lost, {}
        for packet in lost:
            wait = self.clock.random("power on").uniform(_REPEAT_S, 10.0)
            self.clock.callLater(wait, packet.refused)

    def swallow(self, packet: Packet) -> None:
        """A packet came while there is no power."""
        self._lost[packet] = None
        packet.stalled(self.clock.now)

    # Names and ports

    def resolve(self, host: str) -> str | None:
        """The address of a host as this node knows it, or None."""
        if host in self.names:
            return self.names[host]
        if host in ("localhost", LOOPBACK):
            return LOOPBACK
        if host in self.network.by_address:
            return host
        if self.dns_down:
            return None
        return self.network.names.get(host)

    def free_port(self) -> int:
        """One that nobody uses; the same in each run."""
        self._next_port += 1
        if self._next_port > 65535:
            self._next_port = _FIRST_PORT + 1
        return self._next_port


class SimNetwork:
    """All nodes, and the links between them."""

    def __init__(self, clock: SimClock, profile: Profile | None = None) -> None:
        self.clock = clock
        #: Of links not shaped otherwise; links that were used already keep theirs.
        self.profile = profile or Profile()
        self.nodes: dict[str, SimNode] = {}
        self.by_address: dict[str, SimNode] = {}
        #: Host name to address.
        self.names: dict[str, str] = {}
        self.connections: dict[Any, None] = {}
        self._links: dict[tuple[str, str], Link] = {}

    def node(self, name: str, address: str = "", *hosts: str) -> SimNode:
        """A new machine, that is on; it is known as `name` and as each of `hosts`."""
        address = address or f"10.0.{len(self.nodes) // 250}.{len(self.nodes) % 250 + 1}"
        if name in self.nodes or address in self.by_address:
            raise BugError(f"There is a node {name} or an address {address} already")
        made = SimNode(self, name, address)
        self.nodes[name] = self.by_address[address] = made
        for host in (name, *hosts):
            self.names[host] = address
        return made

    def link(self, source: SimNode, target: SimNode) -> Link:
        """The direction from one to the other."""
        key = (source.name, target.name)
        link = self._links.get(key)
        if link is None:
            profile = Profile(_LOOPBACK_S) if source is target else self.profile
            link = self._links[key] = Link(self.clock, f"{source.name}>{target.name}", profile)
        return link

    def shape(self, source: SimNode, target: SimNode, profile: Profile) -> None:
        """From now on that direction carries packets so."""
        self.link(source, target).profile = profile

    def cut(self, source: SimNode, target: SimNode, how: Cut = Cut.BLACK_HOLE) -> None:
        """Nothing of `source` reaches `target`, also not what is on its way; the other direction
        is another call."""
        self.clock.note(source.name, f"cut to {target.name} ({how.value})")
        self.link(source, target).begin(how)

    def heal(self, source: SimNode, target: SimNode) -> None:
        """That direction is whole again."""
        self.clock.note(source.name, f"healed to {target.name}")
        self.link(source, target).heal()

    def partition(self, *groups: Iterable[SimNode], how: Cut = Cut.BLACK_HOLE) -> None:
        """Nodes of different groups cannot reach each other."""
        lists = [list(group) for group in groups]
        for number, group in enumerate(lists):
            for other in (*lists[:number], *lists[number + 1 :]):
                for source in group:
                    for target in other:
                        self.cut(source, target, how)

    def heal_all(self) -> None:
        """Every link is whole; what else is wrong with nodes stays."""
        for link in self._links.values():
            if link.cut is not None:
                self.clock.note(link.name, "healed")
                link.heal()

    def reset(self, one: SimNode, other: SimNode) -> None:
        """Every connection between the two is reset at both ends."""
        self.clock.note(one.name, f"reset with {other.name}")
        for connection in tuple(self.connections):
            if connection.between(one, other):
                connection.refused()
