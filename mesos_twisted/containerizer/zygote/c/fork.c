/* Starting tasks and hearing of their ends. */
#include "zygote.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

u64 launches, failures;
#define OOM_SCORE -900

static void set_oom_score(int score) {
    char text[16];
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t n = snprintf(text, sizeof text, "%d", score);
    if (write(fd, text, (size_t)n) != n) errno = 0;
    close(fd);
}
void guard_from_oom(void) {  /* where that is allowed: who remembers all statuses should go last */
    char text[16] = "";
    int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    if (read(fd, text, sizeof text - 1) < 0) *text = 0;
    close(fd);
    if (atoi(text) > OOM_SCORE) set_oom_score(OOM_SCORE);
}
static void die(int fd, int stage) {
    int word[2] = {stage, errno};
    if (write(fd, word, sizeof word) < 0) _exit(126);
    _exit(127);
}
static void open_as(int fd, const char *path, int target, int stage) {
    struct stat st;
    int flags = target ? O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW : O_RDONLY;
    int got = open(*path ? path : "/dev/null", flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0644);
    if (got < 0 || fstat(got, &st)) die(fd, stage);
    if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode)) { errno = EINVAL; die(fd, stage); }
    fcntl(got, F_SETFL, flags & O_APPEND);
    if (got == target ? fcntl(got, F_SETFD, 0) : dup2(got, target) < 0) die(fd, stage);
}
static void become(plan *p, int fd) {  /* never returns: becomes the task or reports the stage */
    sigset_t none;
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    gid_t groups[65536 / sizeof(gid_t)];
    size_t ngroups = 0;
    char *s, *end;
    for (int i = 1; i < NSIG; i++) if (i != SIGKILL && i != SIGSTOP) sigaction(i, &dfl, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    set_oom_score(0);  /* a task is as likely a victim as any process, whatever the launcher is */
    if (setsid() < 0) die(fd, T_SETSID);
    if (*p->nice && setpriority(PRIO_PROCESS, 0, atoi(p->nice))) die(fd, T_NICE);
    for (s = p->rlimits; *s; s = *end ? end + 1 : end) {
        struct rlimit r;
        int which = (int)strtol(s, &end, 10);
        if (*end == ':') r.rlim_cur = strtoull(end + 1, &end, 10);
        if (*end != ':') { errno = EINVAL; die(fd, T_RLIMIT); }
        r.rlim_max = strtoull(end + 1, &end, 10);
        if (setrlimit((__rlimit_resource_t)which, &r)) die(fd, T_RLIMIT);
    }
    if (*p->uid && !(geteuid() != 0 && (uid_t)strtoul(p->uid, NULL, 10) == geteuid())) {
        uid_t uid = (uid_t)strtoul(p->uid, NULL, 10);
        gid_t gid = (gid_t)strtoul(p->gid, NULL, 10);
        for (s = p->groups; *s && ngroups < sizeof groups / sizeof *groups; s = *end ? end + 1 : end)
            groups[ngroups++] = (gid_t)strtoul(s, &end, 10);
        if (setgroups(ngroups, groups)) die(fd, T_GROUPS);
        if (setresgid(gid, gid, gid)) die(fd, T_GID);
        if (setresuid(uid, uid, uid)) die(fd, T_UID);
    }
    if (strstr(p->flags, "no_new_privs") && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) die(fd, T_PRIVS);
    if (chdir(*p->cwd ? p->cwd : "/")) die(fd, T_CHDIR);
    umask(022);
    open_as(fd, "", 0, T_STDIN);  /* only now: as the task's user, inside its sandbox */
    open_as(fd, p->out, 1, T_STDOUT);
    open_as(fd, p->err, 2, T_STDERR);
    umask((mode_t)strtoul(*p->umask ? p->umask : "022", NULL, 8));
#ifdef SYS_close_range
    syscall(SYS_close_range, 3, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */);
#endif
    if (getppid() != self) _exit(126);  /* the launcher died, and nobody may know of this task */
    environ = p->envp;
    execvp(p->file, p->argv);
    die(fd, T_EXEC);
}
static void fail(task *t, int stage, int err) {
    t->state = S_FAILED;
    t->stage = stage;
    t->status = err;
    failures++;
    note("E %s %d %d\n", t->id, err, stage);
}
void launch(conn *c, u64 seq, plan *p) {
    int fds[2] = {-1, -1};
    task *t = find_id(p->id);
    if (t && t->ghost) t = (drop_task(t), NULL);
    if (t) {
        t->conn = c->no;
        t->seq = seq;
        if (t->state != S_STARTING) tell_launch(t, c, seq);
        return;
    }
    t = add_task(p->id, S_STARTING);
    t->conn = c->no;
    t->seq = seq;
    launches++;
    if (!pipe2(fds, O_CLOEXEC) && fds[1] >= fd_limit - SPARE_FDS) {
        close(fds[0]);
        close(fds[1]);
        fds[0] = -1;
        errno = EMFILE;
    }
    if (fds[0] < 0) { fail(t, T_FORK, errno); tell_launch(t, c, seq); return; }
    pid_t pid = fork();
    if (!pid) {
        if (fds[1] < 3) fds[1] = fcntl(fds[1], F_DUPFD_CLOEXEC, 3);
        become(p, fds[1]);
    }
    int err = errno;
    close(fds[1]);
    if (pid < 0) { close(fds[0]); fail(t, T_FORK, err); tell_launch(t, c, seq); return; }
    proc info;
    set_pid(t, pid);
    nlive++;
    t->start = read_stat(pid, &info) ? info.start : 0;
    t->pipe = fds[0];
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = t};
    int unseen = epoll_ctl(ep, EPOLL_CTL_ADD, fds[0], &ev);
    note("L %s %d %llu\n", t->id, pid, t->start);
    if (unseen) settle(t);  /* waits for the exec: rather that than never to hear of it */
}
void settle(task *t) {  /* the child has exec'ed, or says why it could not */
    int word[2];
    if (t->pipe < 0) return;
    ssize_t n = read(t->pipe, word, sizeof word);
    drop_fd(t->pipe);
    t->pipe = -1;
    if (n == sizeof word) fail(t, word[0], word[1]);
    else t->state = S_RUNNING;
    if (t->state == S_FAILED) nlive--;
    tell_launch(t, find_conn(t->conn), t->seq);
}
void reap(void) {
    int status;
    struct rusage ru;
    pid_t pid;
    while ((pid = wait4(-1, &status, WNOHANG, &ru)) > 0) {
        task *t = find_pid(pid);
        drop_child(pid);
        if (!t || t->state == S_EXITED || t->state == S_LOST) continue;  /* an orphan of some task */
        settle(t);
        if (t->state != S_RUNNING) continue;
        t->state = S_EXITED;
        t->status = status;
        t->utime = (u64)ru.ru_utime.tv_sec * 1000000 + (u64)ru.ru_utime.tv_usec;
        t->stime = (u64)ru.ru_stime.tv_sec * 1000000 + (u64)ru.ru_stime.tv_usec;
        t->maxrss = (u64)ru.ru_maxrss;
        nlive--;
        note("X %s %d %llu %llu %llu\n", t->id, status, t->utime, t->stime, t->maxrss);
        tell_exit(t);
    }
}
