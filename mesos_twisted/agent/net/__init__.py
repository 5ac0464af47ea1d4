"""The agent's edges: the link, processes, disk, timers; they translate and obey."""
