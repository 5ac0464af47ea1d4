"""The fence of the registry in ZooKeeper: who wrote last is who leads by the epoch (I8).

A write notes its master beside the version, and taking over notes it beside the epoch. A write
that came after another master took over, and is not that master's, went past the fence.
"""

from __future__ import annotations

from typing import Final

from mesos_twisted.testing.sim.auditor_scene import Check

PATH: Final = "/mesos_registry"


class Fence(Check):
    """See the module's head."""

    def second(self) -> None:
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
