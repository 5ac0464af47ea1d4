"""A whole cluster under one seed: production code, simulated edges."""
