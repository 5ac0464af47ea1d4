"""From a container's configuration to the one request that starts it: argv, environment, limits.

Refusals are values with a sentence. Users are resolved by the caller; this module reads no system
table and knows no launcher.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mesos_twisted.containerizer.core.container import ContainerConfig, Rlimit
from mesos_twisted.errors import Problem


@dataclass(frozen=True, slots=True)
class Preparation:
    """What one isolator adds to a launch; later isolators win where a variable is named twice."""

    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    rlimits: tuple[Rlimit, ...] = ()


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """The program, its whole argument vector, its environment and limits."""

    file: str
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = field(repr=False)
    rlimits: tuple[Rlimit, ...] = ()


NOTHING = Preparation()


def plan(config: ContainerConfig, preparations: tuple[Preparation, ...]) -> LaunchPlan | Problem:
    """The launch that `config` and the isolators ask for together."""
    argv: tuple[str, ...]
    if config.shell:
        if len(config.argv) != 1:
            return Problem("argv", "A shell command is one text: give its value and no arguments.")
        file, argv = "/bin/sh", ("sh", "-c", config.argv[0])
    elif config.file or config.argv:
        file = config.file or config.argv[0]
        argv = config.argv or (file,)
    else:
        return Problem("argv", "The command has neither a value nor arguments: say what to run.")
    if not file:
        return Problem("argv", "The command's program is empty: name the program to run.")
    env, rlimits = config.env, config.rlimits
    for preparation in preparations:
        env += preparation.env
        rlimits += preparation.rlimits
    for name, value in env:
        if not name or "=" in name or "\0" in name or "\0" in value:
            return Problem(
                "env", f"The environment variable {name!r} cannot be set: its name is empty or "
                "holds '=', or it holds a NUL."
            )  # fmt: skip
    if any("\0" in text for text in (file, *argv, config.cwd, config.stdout, config.stderr)):
        return Problem("argv", "The command or a path holds a NUL, which no process can be given.")
    return LaunchPlan(file, argv, tuple(dict(env).items()), rlimits)
