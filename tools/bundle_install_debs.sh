#!/bin/sh
# Installs ZooKeeper and its Java runtime from this bundle on Debian 12, from no mirror: install-debs.sh
# The last line it prints is "changed" or "unchanged". Run as root. No service is started by it when
# one is masked before.
set -eu
fail() {
  echo "$0: $*" >&2
  exit 1
}
cd "$(dirname "$0")"
[ -e debs/Packages ] || fail "this bundle has no Debian packages; make it with --debs zookeeper."
sha256sum --quiet --strict -c MANIFEST.sha256 || fail "the bundle is damaged; copy it here again."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial"
# Trusted because MANIFEST.sha256 has been checked.
echo "deb [trusted=yes] file:$(pwd -P)/debs ./" >"$scratch/bundle.list"
apt() {
  DEBIAN_FRONTEND=noninteractive apt-get -q -o Dir::Etc::sourcelist="$scratch/bundle.list" -o Dir::Etc::sourceparts=- \
    -o Dir::State::lists="$scratch/lists" -o Dir::Cache="$scratch/cache" -o APT::Install-Recommends=false \
    -o APT::Sandbox::User=root "$@"
}
apt update >"$scratch/log" 2>&1 || { cat "$scratch/log" >&2; fail "apt does not read the bundle's packages."; }
set -- install -y mesos-twisted-headless-jre zookeeper default-jre-headless libnetty-java
if apt -s "$@" 2>/dev/null | grep -q '^Inst '; then
  apt "$@" >"$scratch/log" 2>&1 || { tail -n 20 "$scratch/log" >&2; fail "apt could not install them."; }
  echo changed
else
  apt -s "$@" >"$scratch/log" 2>&1 || { tail -n 20 "$scratch/log" >&2; fail "apt could not install them."; }
  echo unchanged
fi
