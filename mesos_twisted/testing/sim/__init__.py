"""A whole cluster under one seed: production code, simulated edges.

    clock.py      SimClock: one heap of calls, streams of chance, the trace
    net.py        SimNetwork, SimNode, Link: names, latency, pieces, cuts, power, skew
    stream.py     SimTransport: a TCP connection's end, as Twisted gives it
    ports.py      listening and connecting
    reactor.py    SimReactor: one life of one process on a node; kill, pause, resume
    tls.py        SimContexts, SimAuthority: TLS without ciphers below production's TLS layer
    zookeeper.py  SimZooKeeper: 1 to 3 servers (zk_server, zk_connection, zk_tree, zk_acl)
    disk.py, kernel.py, stores.py    what outlives a process: rows, processes, registries
    agent.py, world.py, frameworks.py, faults.py    the cluster, and what happens to it

What makes a run repeatable, for whoever adds to it:
- Time is the clock's and chance is `clock.random(purpose)`; ids' seeds are `clock.fresh_bytes`.
- A process gets its node's time (`reactor.seconds`), never the clock's.
- Nothing iterates over a set, or sorts by `id` or `hash`; a dict keeps the order of insertion.
- No file, thread, socket or environment is read while a world runs.
"""
