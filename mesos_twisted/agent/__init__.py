"""The agent: runs what frameworks launch and tells how it goes."""
