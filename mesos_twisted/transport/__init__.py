"""Bytes between peers: TCP and TLS transports, HTTP/1.1, record streams. Knows no Mesos rule."""
