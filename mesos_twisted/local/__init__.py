"""A whole cluster on this machine: one master, some agents, certificates and all."""
