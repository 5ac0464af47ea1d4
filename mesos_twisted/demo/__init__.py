"""The demonstration: a distributed word count on a cluster of one machine."""
