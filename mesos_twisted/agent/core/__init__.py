"""The agent's decisions: pure functions of state and event."""
