#!/bin/sh
# Lock the requirements with hashes: requirements/runtime.txt (what runs), requirements/test.txt, and
# requirements/appliance.txt (what a control host runs).
# Needs pip-tools in the environment that PYTHON names.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
lock() {
  "$PYTHON" -m piptools compile --quiet --generate-hashes --no-emit-index-url \
    --no-emit-trusted-host --no-emit-find-links --allow-unsafe --strip-extras --no-header "$@"
}
lock --output-file requirements/runtime.txt pyproject.toml requirements/build.in
lock --output-file requirements/test.txt requirements/test.in
lock --output-file requirements/appliance.txt requirements/appliance.in
