"""The SDK's decisions: what to send next, and whether an offer fits. No socket, no clock."""
