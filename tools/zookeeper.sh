#!/bin/sh
# Makes Debian's ZooKeeper available for the tests, which start servers of their own on loopback.
# Prints nothing when it is there; otherwise installs it (root only; no service is started) or says
# in one sentence what is missing.
set -eu
have() { [ -e /usr/share/java/zookeeper.jar ] && command -v java >/dev/null 2>&1; }
have && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "The tests of failover need ZooKeeper and a Java runtime: apt-get install zookeeper default-jre-headless" >&2
  exit 1
fi
log=$(mktemp)
install() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    zookeeper default-jre-headless libnetty-java >>"$log" 2>&1
}
install || { apt-get update -qq >>"$log" 2>&1 && install; } || true
if ! have; then
  tail -n 3 "$log" >&2
  rm -f "$log"
  echo "ZooKeeper could not be installed; the lines above say why (apt-get install zookeeper default-jre-headless)" >&2
  exit 1
fi
rm -f "$log"
