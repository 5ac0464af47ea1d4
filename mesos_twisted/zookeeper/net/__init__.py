"""ZooKeeper over Twisted."""
