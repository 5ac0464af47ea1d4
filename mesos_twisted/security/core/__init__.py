"""The pure half of security: principals, credentials, tokens, rules and verdicts."""
