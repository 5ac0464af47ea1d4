"""The host's gauges: load, processors, memory."""

from __future__ import annotations

import os
from collections.abc import Mapping


def host_gauges() -> Mapping[str, float]:
    """The `system/*` metrics now; those the host cannot tell are left out."""
    found: dict[str, float] = {}
    try:
        one, five, fifteen = os.getloadavg()
        found["system/load_1min"] = one
        found["system/load_5min"] = five
        found["system/load_15min"] = fifteen
        page = os.sysconf("SC_PAGE_SIZE")
        found["system/mem_total_bytes"] = float(page * os.sysconf("SC_PHYS_PAGES"))
        found["system/mem_free_bytes"] = float(page * os.sysconf("SC_AVPHYS_PAGES"))
    except (OSError, ValueError):
        # A host without one of these still has the others' dashboards.
        pass
    found["system/cpus_total"] = float(os.cpu_count() or 1)
    return found
