"""Which certificates this host shows: its own and what stands with it in its file, no root.

OpenSSL adds the authority's certificate from the trust bundle to every handshake: it verifies our
own certificate anew to find it, and the peer parses and keeps it (5 kB a connection) though it has
the same one in its own bundle. `SSL_MODE_NO_AUTO_CHAIN` turns that off; the standard library does
not expose it, so it is set by OpenSSL's own function. What is verified, and how, does not change.
"""

from __future__ import annotations

import ctypes
import ssl
import sys
from collections.abc import Sequence

from cryptography import x509

#: CPython's `_ssl.c` keeps the `SSL_CTX *` as the first member of an SSLContext in all of these.
KNOWN_VERSIONS = frozenset({(3, 11), (3, 12), (3, 13), (3, 14)})

# From OpenSSL's ssl.h.
_SSL_CTRL_MODE = 33
_SSL_MODE_NO_AUTO_CHAIN = 0x8


def is_complete(leaf: x509.Certificate, trusted: Sequence[x509.Certificate]) -> bool:
    """Can peers do without more? Yes when a root of the bundle signed `leaf`: a root is never
    taken from a peer. An authority between them may be missing at the peer, so it is shown."""
    signers = [authority for authority in trusted if authority.subject == leaf.issuer]
    return bool(signers) and all(signer.subject == signer.issuer for signer in signers)


def show_no_authority(context: ssl.SSLContext) -> bool:
    """Afterwards the context shows only what its certificate file holds.

    False when it cannot be set here: everything works, at the price above.
    """
    if sys.implementation.name != "cpython" or sys.version_info[:2] not in KNOWN_VERSIONS:
        return False
    import _ssl

    try:
        # The functions are found in the library that `_ssl` itself is linked with.
        library = ctypes.CDLL(_ssl.__file__)
        options, control = library.SSL_CTX_get_options, library.SSL_CTX_ctrl
    except (AttributeError, OSError):
        return False
    options.restype, options.argtypes = ctypes.c_uint64, [ctypes.c_void_p]
    control.restype = ctypes.c_long
    control.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p]
    pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
    if pointer.value is None or options(pointer) & 0xFFFFFFFF != context.options & 0xFFFFFFFF:
        return False
    mode: int = control(pointer, _SSL_CTRL_MODE, _SSL_MODE_NO_AUTO_CHAIN, None)
    return bool(mode & _SSL_MODE_NO_AUTO_CHAIN)
