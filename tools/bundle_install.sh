#!/bin/sh
# Installs mesos-twisted from this bundle: install.sh PREFIX [PYTHON]
# PREFIX becomes an environment of its own (PREFIX/bin/mesos-twisted). Needs a Python and no network,
# no pip and no ensurepip. The last line it prints is "changed" or "unchanged"; run again, it does
# nothing. What is half there is made anew.
set -eu
fail() {
  echo "$0: $*" >&2
  exit 1
}
[ $# -ge 1 ] && [ $# -le 2 ] || fail "usage: install.sh PREFIX [PYTHON]"
case $1 in /*) prefix=$1 ;; *) prefix=$PWD/$1 ;; esac
python=${2:-python3}
cd "$(dirname "$0")"
umask 022
# Nothing of the host's own pip settings may reach what is installed here.
clean() { env -i PATH="$PATH" HOME=/nonexistent LC_ALL=C.UTF-8 PIP_CONFIG_FILE=/dev/null "$@"; }

command -v "$python" >/dev/null 2>&1 || fail "there is no $python here; install Python 3.11 or newer."
about=$(clean "$python" -c 'import sys, venv; print(sys.version_info >= (3, 11), sys.version)') ||
  fail "$python does not work, or has no module venv."
case $about in True*) ;; *) fail "$python is older than 3.11: ${about#False }" ;; esac
sha256sum --quiet --strict -c MANIFEST.sha256 || fail "the bundle is damaged; copy it here again."
version=$(cat VERSION)
stamp=$(sha256sum MANIFEST.sha256 | cut -d' ' -f1)-$about
if [ "$(cat "$prefix/.bundle" 2>/dev/null || true)" = "$stamp" ]; then
  echo unchanged
  exit 0
fi
if [ -e "$prefix" ]; then
  if [ -e "$prefix/pyvenv.cfg" ]; then
    rm -rf "$prefix"
  else
    rmdir "$prefix" 2>/dev/null || fail "$prefix is there and is not an environment; it was left as it is."
  fi
fi
mkdir -p "$(dirname "$prefix")"
clean "$python" -m venv --without-pip "$prefix"
set -- wheels/pip-*.whl
clean "$prefix/bin/python" "$1/pip" install --quiet --disable-pip-version-check --no-cache-dir --no-index \
  --root-user-action=ignore --find-links wheels --only-binary :all: --no-deps --require-hashes \
  -r "requirements-$version.txt" || fail "installing failed; the bundle was made for other Pythons or machines?"
said=$(clean "$prefix/bin/mesos-twisted" --version) || fail "what was installed does not run."
case $said in *" $version") ;; *) fail "what was installed says '$said' and is to be $version." ;; esac
printf '%s' "$stamp" >"$prefix/.bundle"
echo changed
