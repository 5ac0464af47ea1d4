"""The fence of the registry in ZooKeeper, and the session's time-out of a deposed master (I8).

A write notes its master beside the version, and taking over notes it beside the epoch. A write
that came after another master took over, and is not that master's, went past the fence. A master
that runs, and is not the only one to believe that it leads, learns better within its session.
"""

from __future__ import annotations

from typing import Final

from mesos_twisted.testing.sim.auditor_scene import Check, Scene

PATH: Final = "/mesos_registry"
#: Seconds for which two masters that run may believe that they lead: twice a session.
LEADERS_S: Final = 12


class Fence(Check):
    """See the module's head."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._leaders_s = 0

    def second(self) -> None:
        """Who leads, and who wrote."""
        self._lead()
        self._wrote()

    def _lead(self) -> None:
        leading = self.scene.leading()
        paused = any(life.place.reactor is None or life.place.reactor.paused for life in leading)
        self._leaders_s = 0 if paused or len(leading) < 2 else self._leaders_s + 1
        if self._leaders_s > LEADERS_S:
            names = " and ".join(life.place.name for life in leading)
            self.scene.violated("I8", f"{names} have both led for {LEADERS_S} s")

    def _wrote(self) -> None:
        """Compares the last write with the last take-over, as the ensemble has committed them."""
        ensemble = self.scene.world.zookeeper
        if ensemble is None:
            return
        tree = max((one.tree for one in ensemble.servers), key=lambda one: one.zxid)
        epoch, version = tree.nodes.get(f"{PATH}/epoch"), tree.nodes.get(f"{PATH}/version")
        if epoch is None or version is None or version.mzxid <= epoch.mzxid:
            return
        if version.data != epoch.data:
            self.scene.violated(
                "I8",
                "A deposed master wrote to the registry",
                f"{version.data!r} wrote, and {epoch.data!r} had taken over",
            )
