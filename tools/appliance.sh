#!/bin/sh
# What a control host runs the appliance with, hash-checked: Ansible, its linter and its tests, what
# bundles are made with, and this project itself. Seconds when all is there.
#   tools/appliance.sh           make it
#   tools/appliance.sh --where   print the directory it is in
# It lives in .venv-appliance, or in $MESOS_TWISTED_APPLIANCE.
set -eu
cd "$(dirname "$0")/.."
env=${MESOS_TWISTED_APPLIANCE:-$PWD/.venv-appliance}
if [ "${1:-}" = --where ]; then
  echo "$env"
  exit 0
fi
. tools/environment.sh
requirements="requirements/runtime.txt requirements/appliance.txt"
base=$(find_python) || exit 1
umask 022
mkdir -p "$env" .cache
# Test processes may ask for it at once: one makes it, the others wait.
exec 9>.cache/appliance.lock
flock 9
stamp=$(cat $requirements pyproject.toml tools/appliance.sh | cksum)-$("$base" -c 'import sys; print(sys.version)')
[ "$(cat "$env/stamp" 2>/dev/null || true)" != "$stamp" ] || exit 0
echo "$0: installing what the appliance needs with $base (once; a minute or two)" >&2
log=.cache/appliance.log
fail() {
  tail -n 20 "$log" >&2
  echo "$0: $1; the whole output is in $log" >&2
  exit 1
}
rm -rf "$env"
if "$base" -m venv "$env" >"$log" 2>&1; then
  pip="$env/bin/python -m pip"
elif "$base" -m pip --version >>"$log" 2>&1 && "$base" -m venv --without-pip --clear "$env" >>"$log" 2>&1; then
  pip="$base -m pip --python $env/bin/python"
else
  fail "$base makes no environment (on Debian: apt-get install python3-venv)"
fi
for file in $requirements; do
  $pip install --quiet --disable-pip-version-check --no-warn-script-location --require-hashes \
    -r "$file" >>"$log" 2>&1 || fail "installing $file failed"
done
$pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . >>"$log" 2>&1 ||
  fail "installing mesos-twisted into $env failed"
rm -f "$log"
printf '%s' "$stamp" >"$env/stamp"
