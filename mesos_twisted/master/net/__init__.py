"""The master's edges: sockets, timers, stores; they translate and obey."""
