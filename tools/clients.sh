#!/bin/sh
# Installs the clients that tests/clients runs against a real cluster, each in an environment of its
# own and unmodified: pymesos, mesoshttp, dpark. Seconds when all is there.
#   tools/clients.sh [name…]     make them
#   tools/clients.sh --where     print the directory they are in
# They live in .venv-clients, or in $MESOS_TWISTED_CLIENTS. dpark's executors run as a normal user,
# so for root, in a checkout that others cannot enter, they live in /var/tmp.
set -eu
cd "$(dirname "$0")/.."

fail() {
  echo "$0: $*" >&2
  exit 1
}

# Can every user get to this path?
reachable() {
  at=$1
  while :; do
    [ -n "$(find "$at" -maxdepth 0 -perm -o+x 2>/dev/null)" ] || return 1
    [ "$at" = / ] && return 0
    at=$(dirname "$at")
  done
}

if [ -n "${MESOS_TWISTED_CLIENTS:-}" ]; then
  home=$MESOS_TWISTED_CLIENTS
elif [ "$(id -u)" = 0 ] && ! reachable "$PWD"; then
  home=/var/tmp/mesos-twisted-clients
else
  home=$PWD/.venv-clients
fi
if [ "${1:-}" = --where ]; then
  echo "$home"
  exit 0
fi
umask 022
mkdir -p "$home"
[ -O "$home" ] || fail "$home belongs to another user; set MESOS_TWISTED_CLIENTS to a directory of yours."
# Test processes may ask for the same client at once: one makes it, the others wait.
exec 9>"$home/lock"
flock 9

# The first of the named versions that works: on PATH, then below ~/.pyenv. Leaves `tried`.
find_python() {
  tried=""
  for version in "$@"; do
    names=python$version
    for candidate in "$(command -v "$names" || true)" "$HOME"/.pyenv/versions/"$version"*/bin/python3; do
      [ -n "$candidate" ] && [ -x "$candidate" ] || continue
      tried="$tried $candidate"
      if "$candidate" -c 'import ensurepip, venv' 2>/dev/null ||
        "$candidate" -c 'import venv, pip' 2>/dev/null; then
        echo "$candidate"
        return 0
      fi
    done
    case "$tried" in *"$names"*) ;; *) tried="$tried $names" ;; esac
  done
  echo "$0: no usable Python (with venv and ensurepip) was found for $name; tried:$tried." \
    "On Debian: apt-get install python3-venv python3-dev gcc." >&2
  return 1
}

# A Python that every user can run: itself, or a copy of it beside the environments.
public_python() {
  prefix=$("$1" -c 'import os, sys; print(os.path.realpath(sys.base_prefix))')
  if [ "$(id -u)" != 0 ] || reachable "$prefix"; then
    echo "$1"
    return 0
  fi
  copy="$home/python-$("$1" -c 'import platform; print(platform.python_version())')"
  if [ ! -e "$copy/.whole" ]; then
    rm -rf "$copy"
    mkdir "$copy"
    (cd "$prefix" && tar cf - --exclude=test --exclude=__pycache__ --exclude=site-packages .) |
      (cd "$copy" && tar xf - --no-same-owner)
    chmod -R go+rX "$copy"
    # Where it looks for its shared library is written in the binary: beside itself, from now on.
    for binary in "$copy"/bin/python3.*; do
      [ -f "$binary" ] && [ ! -L "$binary" ] || continue
      "$1" - "$binary" "$prefix/lib" <<'PY'
import sys

path, old = sys.argv[1], sys.argv[2].encode() + b"\0"
new = b"$ORIGIN/../lib\0"
with open(path, "rb") as source:
    data = source.read()
if old in data and data[:4] == b"\x7fELF" and len(old) >= len(new):
    with open(path, "wb") as out:
        out.write(data.replace(old, new.ljust(len(old), b"\0")))
PY
    done
    touch "$copy/.whole"
  fi
  echo "$copy/bin/python3"
}

quiet() {
  "$@" >"$env.log" 2>&1 || {
    tail -n 30 "$env.log" >&2
    fail "installing $name failed at: $*; the whole output is in $env.log" \
      "(building needs a C compiler and Python's headers: apt-get install gcc python3-dev)."
  }
}

# http-parser's C file was generated for Python <= 3.10; from 3.11 on it is generated again from the
# source beside it.
http_parser() {
  "$env/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || return 0
  if ! "$env/bin/python" -c 'import imp' 2>/dev/null; then
    # Its setup.py reads its version with a module that Python 3.12 has no more.
    cat >"$("$env/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/imp.py" <<'PY'
import importlib.util


def load_source(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
PY
  fi
  mkdir "$env/build"
  sed -n '/^http-parser==/,/[^\\]$/p' "$requirements" >"$env/build/http-parser.txt"
  quiet $pip download --no-deps --no-build-isolation --require-hashes --dest "$env/build" \
    -r "$env/build/http-parser.txt"
  (cd "$env/build" && tar xzf http-parser-*.tar.gz)
  quiet "$env/bin/cython" "$env"/build/http-parser-*/http_parser/parser.pyx
  quiet $pip install --no-deps --no-build-isolation "$env"/build/http-parser-*/
  rm -rf "$env/build"
}

make() {
  name=$1
  shift
  env=$home/$name
  requirements=requirements/clients-$name.txt
  base=$(find_python "$@") || exit 1
  stamp=$(cat "$requirements" requirements/clients-build.txt tools/clients.sh | cksum)-$("$base" -c 'import sys; print(sys.version)')
  [ "$(cat "$env/stamp" 2>/dev/null || true)" != "$stamp" ] || return 0
  echo "$0: installing $name with $base (once; a minute)" >&2
  rm -rf "$env"
  base=$(public_python "$base")
  quiet "$base" -m venv "$env"
  pip="$env/bin/python -m pip --quiet --disable-pip-version-check"
  quiet $pip install --require-hashes -r requirements/clients-build.txt
  http_parser_needed=$(grep -c '^http-parser==' "$requirements" || true)
  [ "$http_parser_needed" = 0 ] || http_parser
  quiet $pip install --no-build-isolation --require-hashes -r "$requirements"
  quiet "$env/bin/python" -c "import $name"
  rm -f "$env.log"
  printf '%s' "$stamp" >"$env/stamp"
}

[ $# -gt 0 ] || set -- pymesos mesoshttp dpark
for client in "$@"; do
  case $client in
    pymesos | mesoshttp) make "$client" 3.11 3.12 3.13 3.14 3 ;;
    dpark) make dpark 3.8 3.9 3.10 3.7 3.11 3.12 ;;
    *) fail "there is no client '$client'; known are pymesos, mesoshttp and dpark." ;;
  esac
done
