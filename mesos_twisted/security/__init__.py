"""Who speaks, and what they may do: identities, secrets, rules, and mutual TLS."""
