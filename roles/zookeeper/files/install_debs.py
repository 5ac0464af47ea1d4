"""Installs packages from a directory without network: install_debs.py DIRECTORY SUMS_SHA256 NAME...

Every file is checked against DIRECTORY/SHA256SUMS, and that against SUMS_SHA256, before any is
installed. The debs have to hold the packages NAME and all that these need. Afterwards the files are
gone, and DIRECTORY/.installed says that it was done.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path


def main(directory: Path, sums_sha256: str, names: list[str]) -> None:
    sums = directory / "SHA256SUMS"
    if hashlib.sha256(sums.read_bytes()).hexdigest() != sums_sha256:
        sys.exit(f"{sums} is not the control host's; the copy is damaged. Run it again.")
    debs = []
    for line in sums.read_text().splitlines():
        want, _, name = line.partition(" ")
        path = directory / name.lstrip(" *").removeprefix("./")
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != want:
            sys.exit(f"{path} is missing or not what SHA256SUMS says; make the bundle anew.")
        if path.suffix == ".deb":
            debs.append(str(path))
    have = {Path(deb).name.partition("_")[0] for deb in debs}
    for name in names:
        if name not in have:
            sys.exit(
                f"The bundle's debs do not hold {name}; make it with ./bundle --zookeeper debs."
            )
    command = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [*command, *debs], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stdout + done.stderr)[-3000:]
        sys.exit(f"apt-get could not install the bundle's debs. It said:\n{said}")
    for deb in debs:
        os.unlink(deb)
    (directory / ".installed").touch()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
