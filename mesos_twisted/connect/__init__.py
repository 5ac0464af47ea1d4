"""The connector: a plaintext door on loopback to a cluster that speaks mutual TLS."""
