"""Apache Mesos's v1 APIs on Twisted: a master, an agent, and what a cluster needs around them."""

__version__ = "0.1.0"

#: The Mesos release whose v1 APIs are served; clients parse it as dotted integers.
MESOS_VERSION = "1.11.0"
