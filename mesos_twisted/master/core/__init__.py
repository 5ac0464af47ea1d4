"""The master's decisions: pure functions of state and event."""
