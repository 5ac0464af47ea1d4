"""Requests of other sites' pages are told from the user's own."""

import pytest

from mesos_twisted.security.net.browsers import is_foreign

NAVIGATE = {"sec-fetch-mode": "navigate"}


@pytest.mark.parametrize(
    ("headers", "reading", "changing"),
    [
        ({}, False, False),
        ({"sec-fetch-site": "none"}, False, False),
        ({"sec-fetch-site": "same-origin"}, False, False),
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}, True, True),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}, True, True),
        ({"sec-fetch-site": "cross-site", **NAVIGATE}, False, True),
        ({"sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe", **NAVIGATE}, True, True),
        ({"origin": "https://m:5050", "host": "m:5050"}, False, False),
        ({"origin": "https://m:5051", "host": "m:5050"}, False, True),
        ({"origin": "null", "host": "m:5050"}, False, True),
    ],
)
def test_who_asks(headers: dict[str, str], reading: bool, changing: bool) -> None:
    """A link may be followed to read; nothing else of another site passes."""
    assert is_foreign(headers, changing=False) is reading
    assert is_foreign(headers, changing=True) is changing
