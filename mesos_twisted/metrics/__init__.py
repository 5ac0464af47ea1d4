"""Counters, gauges and timers, and the documents that show them."""
