"""The launcher process of an agent: its source, its build, its protocol."""
