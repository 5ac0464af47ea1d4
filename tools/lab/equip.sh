#!/bin/sh
# What the playbook needs on the control host before the nodes are up: Ansible, and a bundle that is
# not older than the sources. LAB_ANSIBLE_PLAYBOOK and LAB_PLAYBOOK bring one's own of each.
set -eu
cd "$(dirname "$0")/../.."
[ -n "${LAB_ANSIBLE_PLAYBOOK:-}" ] || tools/appliance.sh
[ -z "${LAB_PLAYBOOK:-}" ] || exit 0
made=dist/bundle/MANIFEST.sha256
if [ -e "$made" ]; then
    newer=$(find mesos_twisted pyproject.toml requirements/runtime.txt tools/bundle*.py -newer "$made" \
        -type f -not -name '*.pyc' -print -quit)
    [ -n "$newer" ] || exit 0
fi
exec ./bundle
