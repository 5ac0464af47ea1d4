"""Where a master keeps what must survive it: admitted agents, lost agents, role weights."""
