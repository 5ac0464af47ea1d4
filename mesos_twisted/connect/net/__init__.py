"""The connector's sockets: the gate, the proxy, the way to the leader."""
