"""A secret that cannot be printed by accident, and the one way secrets are compared."""

from __future__ import annotations

import hmac


class Secret:
    """Bytes nobody sees: repr, str and formatting give a placeholder; pickling is refused."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The bytes themselves; call this only where they are used."""
        return self._value

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "<secret>"

    def __reduce__(self) -> str:
        raise TypeError("A secret is not pickled.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and same_bytes(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # a hash would invite secrets into dict keys


def same_bytes(left: bytes, right: bytes) -> bool:
    """Are they equal? The time taken does not tell where they differ."""
    return hmac.compare_digest(left, right)
