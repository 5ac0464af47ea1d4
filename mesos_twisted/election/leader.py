"""The leader's address, kept current, for those who connect to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger

from mesos_twisted.clock import Timer, Timers
from mesos_twisted.election.interfaces import Contender, Detector
from mesos_twisted.election.membership import address_of
from mesos_twisted.election.zookeeper import ZooKeeperDetector
from mesos_twisted.errors import UnavailableError
from mesos_twisted.protocol.generated import messages as m
from mesos_twisted.transport.leader import Masters, NamedMasters
from mesos_twisted.transport.tcp import address_text
from mesos_twisted.zookeeper.net.ensemble import ClientContexts, Ensemble
from mesos_twisted.zookeeper.url import is_zk_url, parse_zk_url

_log = Logger()

#: How long a session of those who only watch lasts without a word, unless told otherwise. They hear
#: of a change at once all the same, and each pings three times in it.
SESSION_S = 30.0
#: How long a tool waits for a leader.
PATIENCE_S = 6.0


class LeaderWatch:
    """What a detector told last. Passes as an agent's `MasterSource`."""

    elected = True

    def __init__(self, detector: Detector, timers: Timers, where: str) -> None:
        """`where` names the detector's place, for sentences."""
        self._detector = detector
        self._timers = timers
        self._where = where
        self._leader: tuple[str, int] | None = None
        self._master: str | None = None  # the id of who led last
        self._followers: list[Callable[[str], object]] = []
        self._changed: Callable[[], object] = lambda: None
        self._waiting: dict[Deferred[tuple[str, int]], Timer] = {}
        self._started = False
        self._who: Contender | None = None
        self._contenders: tuple[Contender, ...] = ()

    def start(
        self, changed: Callable[[], object] = lambda: None, *, standbys: bool = False
    ) -> None:
        """Begin to watch; `changed()` is called when the leader is another, or, with `standbys`,
        those who contend are others. Twice is harmless.
        """
        self._changed = changed
        if self._started:
            return
        self._started = True
        if standbys:
            self._detector.start(self._heard, self._contending)
        else:
            self._detector.start(self._heard)

    def leader(self) -> Contender | None:
        """Who leads; None while nobody is known to."""
        return self._who

    def contenders(self) -> Sequence[Contender]:
        """Who leads or may lead later, if that was asked for in `start`."""
        return self._contenders

    def stop(self) -> Deferred[None]:
        """Fires when nothing is left; who waits for a leader hears that there is none."""
        for each, timer in tuple(self._waiting.items()):
            timer.cancel()
            del self._waiting[each]
            each.errback(self._none())
        return self._detector.stop() if self._started else succeed(None)

    def follow(self, another: Callable[[str], object]) -> None:
        """`another(address)` is called when a master leads that is not the one that led last, were
        it at the same address. What the last one was asked will not be answered.
        """
        self._followers.append(another)

    def candidates(self) -> Sequence[tuple[str, int]]:
        """Host and port of the leader; empty while nobody is known to lead."""
        return () if self._leader is None else (self._leader,)

    def find(self, timeout_s: float) -> Deferred[tuple[str, int]]:
        """The leader, now or once there is one. Fails with UnavailableError after so long."""
        self.start(self._changed)
        if self._leader is not None:
            return succeed(self._leader)
        if timeout_s <= 0:
            return fail(self._none())
        done: Deferred[tuple[str, int]] = Deferred(lambda each: self._forget(each))
        self._waiting[done] = self._timers.after(timeout_s, self._too_late, done)
        return done

    def _heard(self, info: m.MasterInfo | None) -> None:
        leader = None if info is None else address_of(info)
        who = None if info is None else _contender(info)
        same = who == self._who
        self._leader, self._who = leader, who
        if info is not None and leader is not None:
            before, self._master = self._master, info.id
            if before not in (None, info.id):
                # Before those who wait are told: what they send then is not of the past.
                for another in self._followers:
                    another(address_text(*leader))
        if same:
            return
        if leader is not None:
            _log.info("The leading master is {host}:{port}", host=leader[0], port=leader[1])
            for each, timer in tuple(self._waiting.items()):
                timer.cancel()
                del self._waiting[each]
                each.callback(leader)
        else:
            _log.info("No leading master is known")
        self._changed()

    def _contending(self, infos: Sequence[m.MasterInfo]) -> None:
        self._contenders = tuple(_contender(info) for info in infos)
        self._changed()

    def _too_late(self, done: Deferred[tuple[str, int]]) -> None:
        del self._waiting[done]
        done.errback(self._none())

    def _forget(self, done: Deferred[tuple[str, int]]) -> None:
        timer = self._waiting.pop(done, None)
        if timer is not None:
            timer.cancel()

    def _none(self) -> UnavailableError:
        return UnavailableError(f"No leading master is known at {self._where}")


def _contender(info: m.MasterInfo) -> Contender:
    return Contender(*address_of(info), info.id)


class ElectedMasters:
    """The elected leader, for a `LeaderClient`; waited for up to `patience_s`."""

    def __init__(self, watch: LeaderWatch, patience_s: float) -> None:
        self._watch = watch
        self._patience_s = patience_s

    def find(self) -> Deferred[Sequence[str]]:
        """The leader alone. Fails with UnavailableError when there is none in time."""
        found = self._watch.find(self._patience_s)
        return found.addCallback(lambda leader: (address_text(*leader),))

    def follow(self, another: Callable[[str], object]) -> None:
        """See `LeaderWatch.follow`."""
        self._watch.follow(another)

    def stop(self) -> Deferred[None]:
        """Fires when nothing is left."""
        return self._watch.stop()


def watch_zookeeper(
    reactor: Any,
    text: str,
    jitter: Callable[[], float],
    contexts: ClientContexts | None = None,
    session_timeout_s: float = SESSION_S,
) -> LeaderWatch:
    """The leader of the election at a `zk://` URL; `contexts` when ZooKeeper speaks TLS.

    Not started yet. Raises MalformedError for a bad URL.
    """
    url = parse_zk_url(text)
    ensemble = Ensemble(reactor, url, session_timeout_s, jitter, contexts)
    detector = ZooKeeperDetector(ensemble.client, url.path, Timers(reactor))
    return LeaderWatch(detector, Timers(reactor), str(url))


def find_masters(
    reactor: Any,
    masters: Sequence[str],
    jitter: Callable[[], float],
    contexts: ClientContexts | None = None,
    patience_s: float = PATIENCE_S,
) -> Masters:
    """What `--master` means: addresses, or the parts (split at commas) of a `zk://` URL.

    Raises MalformedError for a bad URL.
    """
    text = ",".join(masters)
    if not is_zk_url(text):
        return NamedMasters(masters)
    return ElectedMasters(watch_zookeeper(reactor, text, jitter, contexts), patience_s)
