"""A daemon may hold as many connections as the system lets it, and its children as before."""

import resource
import subprocess

from mesos_twisted.descriptors import limited, raise_limit, soft_limit


def test_the_soft_limit_becomes_the_hard_one() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, before[1]), before[1]))
        assert raise_limit() == before[1]
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_command_runs_with_the_limit_of_before() -> None:
    """Whatever words it has; the hard limit stays where it is."""
    soft, hard = min(200, soft_limit()), resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    script = 'echo "$(ulimit -S -n) $(ulimit -H -n) $0 $1"'
    done = subprocess.run(
        limited(["/bin/sh", "-c", script, "a b", "$c"], soft), capture_output=True, check=True
    )
    shown = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    assert done.stdout.decode() == f"{soft} {shown} a b $c\n"
