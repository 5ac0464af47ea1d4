"""The sentences and figures of processes as Mesos words them: exit statuses, durations, names.

Clients parse some of these, so they are part of the promise. Source: stout's wait.hpp and
duration.hpp, slave.cpp getExecutorInfo.
"""

from __future__ import annotations

from mesos_twisted.protocol.generated import messages as m

SIGTERM = 15
SIGKILL = 9

#: strsignal(3) of Linux.
SIGNAL_WORDS = {
    1: "Hangup",
    2: "Interrupt",
    3: "Quit",
    4: "Illegal instruction",
    5: "Trace/breakpoint trap",
    6: "Aborted",
    7: "Bus error",
    8: "Floating point exception",
    9: "Killed",
    10: "User defined signal 1",
    11: "Segmentation fault",
    12: "User defined signal 2",
    13: "Broken pipe",
    14: "Alarm clock",
    15: "Terminated",
    16: "Stack fault",
    24: "CPU time limit exceeded",
    25: "File size limit exceeded",
    31: "Bad system call",
}

_UNITS = (
    (7 * 86400 * 10**9, "weeks"),
    (86400 * 10**9, "days"),
    (3600 * 10**9, "hrs"),
    (60 * 10**9, "mins"),
    (10**9, "secs"),
    (10**6, "ms"),
    (10**3, "us"),
    (1, "ns"),
)


def succeeded(status: int | None) -> bool:
    """Did the process exit with 0? `status` as wait(2) gives it."""
    return status == 0


def wait_words(status: int) -> str:
    """`exited with status 3` or `terminated with signal Terminated`, of a wait(2) status."""
    signo = status & 0x7F
    if signo == 0:
        return f"exited with status {(status >> 8) & 0xFF}"
    word = SIGNAL_WORDS.get(signo)
    if word is None:
        word = f"Real-time signal {signo - 34}" if 34 <= signo <= 64 else f"Unknown signal {signo}"
    return f"terminated with signal {word}"


def duration(seconds: float) -> str:
    """Mesos's text of a duration: `5secs`, `1mins`, `1.5secs` becomes `1500ms`."""
    nanoseconds = round(seconds * 1e9)
    if nanoseconds == 0:
        return "0ns"
    for at, (size, unit) in enumerate(_UNITS):
        if abs(nanoseconds) >= size:
            if nanoseconds % size == 0:
                return f"{nanoseconds // size}{unit}"
            size, unit = _UNITS[at + 1]
            return f"{nanoseconds / size:.15g}{unit}"
    return f"{nanoseconds}ns"


def command_executor_name(task: m.TaskInfo) -> str:
    """The name clients see for the executor of a command task."""
    command = task.command or m.CommandInfo()
    if command.shell:
        if command.value is None:
            words = "NO COMMAND"
        else:
            words = f"sh -c '{_shortened(command.value)}'"
    elif command.value is None:
        words = "NO EXECUTABLE"
    else:
        words = f"[{_shortened(command.value + ', ' + ', '.join(command.arguments))}]"
    return f"Command Executor (Task: {task.task_id.value}) (Command: {words})"


def _shortened(text: str) -> str:
    return text if len(text) <= 15 else text[:12] + "..."
