"""Is a browser asking here on behalf of another site's page?

A browser adds its user's certificate or Basic secret to whatever any page makes it fetch. What a
request says about its origin (Fetch Metadata, RFC 6454) tells such requests from the user's own.
"""

from __future__ import annotations

from collections.abc import Mapping


def is_foreign(headers: Mapping[str, str], *, changing: bool) -> bool:
    """Does another site's page ask? `headers` have lower-case names.

    Programs send none of these headers. Where nothing is changed, following a link is harmless;
    a script, image or frame is not. "Same-site" is foreign too: tasks serve pages on these hosts.
    """
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        linked = (
            headers.get("sec-fetch-mode") == "navigate"
            and headers.get("sec-fetch-dest", "document") == "document"
        )
        return changing or not linked
    if not changing or site is not None:
        return False
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2] != headers.get("host", "")
