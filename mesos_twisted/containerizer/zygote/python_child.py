"""The Python launcher's child between fork and exec: it becomes the task, or says why not."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import signal
import stat
import struct

PR_SET_NO_NEW_PRIVS = 38
libc = ctypes.CDLL(None, use_errno=True)


def become(f: list[bytes], fd: int, launcher: int, nonce: bytes) -> None:
    """Never returns: the child becomes the task, or reports the stage at which it could not."""
    stage = 1
    try:
        _, _, name, file, cwd, out, err, uid, gid, groups, mask, nice, rlimits, flags, argc = f[:15]
        argv, rest = f[15 : 15 + int(argc)], f[15 + int(argc) :]
        env = {b"MESOS_TWISTED_CONTAINER": nonce + b":" + name}
        for entry in rest:
            key, _, value = entry.partition(b"=")
            env.setdefault(key, value)
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            try:
                signal.signal(number, signal.SIG_DFL)
            except (OSError, ValueError):
                continue
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        # As likely a victim as any process, whatever the launcher is.
        set_oom_score(0)
        os.setsid()
        stage = 2
        if nice:
            os.setpriority(os.PRIO_PROCESS, 0, int(nice))
        stage = 3
        for entry in rlimits.split(b",") if rlimits else ():
            which, soft, hard = (int(n) for n in entry.split(b":"))
            resource.setrlimit(which, (soft, hard))
        if uid and not (os.geteuid() != 0 and int(uid) == os.geteuid()):
            stage = 4
            os.setgroups([int(g) for g in groups.split(b",")] if groups else [])
            stage = 5
            os.setresgid(int(gid), int(gid), int(gid))
            stage = 6
            os.setresuid(int(uid), int(uid), int(uid))
        stage = 7
        if b"no_new_privs" in flags and libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
        stage = 8
        os.chdir(cwd or b"/")
        os.umask(0o022)
        for target, path in enumerate((b"", out, err)):
            stage = 9 + target
            open_as(path, target)
        os.umask(int(mask or b"022", 8))
        if os.getppid() != launcher:
            os._exit(126)  # it died, and nobody may know of this task
        stage = 12
        execute(file, argv, env)
    except BaseException as problem:  # whatever it is, no second launcher may run on from here
        code = getattr(problem, "errno", None) or errno.EINVAL
        os.write(fd, struct.pack("ii", stage, code))
    os._exit(127)


def set_oom_score(score: int) -> None:
    try:
        with open("/proc/self/oom_score_adj", "wb", 0) as target:
            target.write(b"%d" % score)
    except OSError:
        pass  # only less likely a victim: the way back is always allowed


def open_as(path: bytes, target: int) -> None:
    flags = os.O_RDONLY
    if target:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    got = os.open(path or b"/dev/null", flags | os.O_NONBLOCK | os.O_NOCTTY, 0o644)
    mode = os.fstat(got).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISCHR(mode):
        raise OSError(errno.EINVAL, "neither a file nor a device")
    fcntl.fcntl(got, fcntl.F_SETFL, flags & os.O_APPEND)
    if got == target:
        os.set_inheritable(got, True)
    else:
        os.dup2(got, target)


def execute(file: bytes, argv: list[bytes], env: dict[bytes, bytes]) -> None:
    """As execvp(3) with `env`. `os.execvp` will not do: it imports modules late, and the task's
    user may not be able to read them."""
    paths = [file]
    if b"/" not in file:
        paths = [
            b"%s/%s" % (d or b".", file) for d in env.get(b"PATH", b"/bin:/usr/bin").split(b":")
        ]
    denied: OSError | None = None
    for path in paths:
        try:
            os.execve(path, argv, env)
        except OSError as problem:
            if problem.errno == errno.ENOEXEC:
                os.execve(b"/bin/sh", [b"sh", path, *argv[1:]], env)
            elif problem.errno == errno.EACCES:
                denied = problem
            elif problem.errno not in (errno.ENOENT, errno.ENOTDIR):
                raise
    raise denied or OSError(errno.ENOENT, "not found")
