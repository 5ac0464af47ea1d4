#!/bin/sh
# Makes Chromium and its driver available for the tests of the state page. Prints nothing when they
# are there; otherwise installs Debian's (root only) or says in one sentence what is missing.
set -eu
have() { command -v chromium >/dev/null 2>&1 && command -v chromedriver >/dev/null 2>&1; }
have && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "The tests of the state page need Chromium and its driver: apt-get install chromium chromium-driver" >&2
  exit 1
fi
log=$(mktemp)
install() { DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium chromium-driver >>"$log" 2>&1; }
install || { apt-get update -qq >>"$log" 2>&1 && install; } || true
if ! have; then
  tail -n 3 "$log" >&2
  rm -f "$log"
  echo "Chromium could not be installed; the lines above say why (apt-get install chromium chromium-driver)" >&2
  exit 1
fi
rm -f "$log"
