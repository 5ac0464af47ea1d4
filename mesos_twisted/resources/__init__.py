"""Resources as values: what an agent has, what is reserved, offered and used. Pure."""
