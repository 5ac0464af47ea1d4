"""A client of ZooKeeper's protocol."""
