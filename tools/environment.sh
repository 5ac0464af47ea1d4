# Makes .venv from the hash-locked requirements when it is missing or stale. Sourced by ./run and
# ./test with the requirement files as arguments; leaves PYTHON set. Works with any Python >= 3.11.
find_python() {
  for name in ${MESOS_TWISTED_PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$name" >/dev/null 2>&1 &&
      "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$name"
      return 0
    fi
  done
  echo "$0: Python 3.11 or newer is needed and none was found; install python3 (Debian 12 has it)." >&2
  return 1
}

make_venv() {
  rm -rf .venv
  if "$base" -m venv .venv >.venv.log 2>&1; then
    rm -f .venv.log
    return 0
  fi
  # Debian keeps ensurepip in a package of its own.
  rm -rf .venv
  if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    echo "$0: installing python3-venv (Python's own venv needs it here)" >&2
    apt-get install -y -qq python3-venv >>.venv.log 2>&1 ||
      { apt-get update -qq >>.venv.log 2>&1 && apt-get install -y -qq python3-venv >>.venv.log 2>&1; } ||
      true # what it said is shown below
    if "$base" -m venv .venv >>.venv.log 2>&1; then rm -f .venv.log; return 0; fi
  fi
  if "$base" -m pip --version >/dev/null 2>&1 &&
    "$base" -m venv --without-pip .venv >>.venv.log 2>&1; then
    rm -f .venv.log
    return 0
  fi
  # Without pip nothing can be fetched, and pip is fetched from nowhere but the system's packages.
  cat .venv.log >&2
  rm -rf .venv .venv.log
  if command -v apt-get >/dev/null 2>&1; then
    sudo=$([ "$(id -u)" = 0 ] || echo "sudo ")
    echo "$0: Python has no venv here; run: ${sudo}apt-get update && ${sudo}apt-get install -y python3-venv && $0" >&2
  else
    echo "$0: Python has no venv here; install your system's package of Python's venv or pip, then run: $0" >&2
  fi
  return 1
}

environment() {
  base=$(find_python) || exit 1
  stamp=$(cat "$@" pyproject.toml tools/environment.sh | cksum)-$("$base" -c 'import sys; print(sys.version)')
  PYTHON=$PWD/.venv/bin/python
  old=$(cat .venv/stamp 2>/dev/null || true)
  case "$old" in *"[$stamp]"*) return 0 ;; esac
  echo "$0: preparing .venv (once; a minute or two)" >&2
  [ -x "$PYTHON" ] && "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    make_venv || exit 1
  if "$PYTHON" -m pip --version >/dev/null 2>&1; then pip="$PYTHON -m pip"; else pip="$base -m pip --python $PYTHON"; fi
  for file in "$@"; do
    $pip install --quiet --disable-pip-version-check --no-warn-script-location --require-hashes -r "$file" ||
      { echo "$0: installing $file failed; see the lines above." >&2; exit 1; }
  done
  $pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . ||
    { echo "$0: installing mesos-twisted into .venv failed; see the lines above." >&2; exit 1; }
  printf '%s[%s]\n' "$old" "$stamp" >.venv/stamp
}
