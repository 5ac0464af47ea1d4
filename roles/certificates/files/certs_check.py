"""Says which certificates end soon: certs_check.py DAYS FILE...

Each certificate of a file (a bundle has several) and each revocation list is one journal entry with
the fields MESOS_CERTIFICATE, MESOS_DAYS_LEFT and MESOS_ENDS. The exit status is 1 when one ends
within DAYS days, or cannot be read.
"""

from __future__ import annotations

import datetime
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

WARNING, INFO = 4, 6


def main(days: int, files: list[str]) -> int:
    now = datetime.datetime.now(datetime.UTC)
    bad = 0
    for name in files:
        try:
            found = list(ends(Path(name).read_bytes()))
        except (OSError, ValueError) as error:
            say(WARNING, f"{name} cannot be read: {error}", MESOS_CERTIFICATE=name)
            bad += 1
            continue
        for what, end in found:
            left = (end - now).days
            soon = left < days
            bad += soon
            say(
                WARNING if soon else INFO,
                f"{name}: {what} {'ended' if left < 0 else 'ends'} on {end:%Y-%m-%d %H:%M UTC}, "
                + (f"{left} days from now" if left >= 0 else "and is refused since")
                + ("; renew it with rotate_certs.yml." if soon else "."),
                MESOS_CERTIFICATE=name,
                MESOS_DAYS_LEFT=str(left),
                MESOS_ENDS=end.isoformat(),
            )
    return 1 if bad else 0


def ends(content: bytes) -> Iterator[tuple[str, datetime.datetime]]:
    """What each block is, and when it ends."""
    if b"BEGIN CERTIFICATE" in content:
        for certificate in x509.load_pem_x509_certificates(content):
            subject = certificate.subject.rfc4514_string()
            yield f"the certificate of {subject}", certificate.not_valid_after_utc
    for block in content.split(b"-----BEGIN X509 CRL-----")[1:]:
        crl = x509.load_pem_x509_crl(b"-----BEGIN X509 CRL-----" + block)
        if crl.next_update_utc is not None:
            yield f"the revocation list of {crl.issuer.rfc4514_string()}", crl.next_update_utc


def say(priority: int, message: str, **fields: str) -> None:
    """One structured entry of the journal, or a line when there is none."""
    path = "/run/systemd/journal/socket"
    if not os.path.exists(path):
        print(message, file=sys.stderr)
        return
    entry = {
        "MESSAGE": message.replace("\n", " "),
        "PRIORITY": str(priority),
        "SYSLOG_IDENTIFIER": "mesos-twisted-certs-check",
        **fields,
    }
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.connect(path)
        journal.send("".join(f"{name}={value}\n" for name, value in entry.items()).encode())


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
