"""What some clients' constraints say of an agent, or of agents that are alike: two sets of bits."""

from __future__ import annotations


class Verdicts:
    """`judged` are the clients that were asked; `excluded` those of them that said no."""

    __slots__ = ("__weakref__", "excluded", "judged")

    def __init__(self) -> None:
        self.judged = 0
        self.excluded = 0

    def forget(self, clients: int) -> None:
        """Ask these clients again when their turn comes."""
        if self.judged & clients:
            self.judged &= ~clients
            self.excluded &= ~clients
