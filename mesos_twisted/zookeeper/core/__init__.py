"""Decisions of a ZooKeeper session; no clock, no socket."""
