/* The launcher: one small process per agent that starts tasks, reaps them and remembers how they
 * ended, so that tasks and their exit statuses outlive the agent. It knows nothing of resources,
 * frameworks or containers beyond an id. The conversation is described in protocol.py; zygote.py
 * speaks the same and passes the same suite. Linux, libc only, one thread, one epoll loop. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define VERSION 1
#define MARKER "MESOS_TWISTED_CONTAINER="
#define MAX_FRAME (8u << 20)   /* a whole argv and environment fit: the kernel allows less */
#define MAX_UNREAD (64u << 20) /* a client that does not read is cut off here */
#define STOP_ROUNDS 20
#define STRANGERS 1024
#define CHASE 100
typedef unsigned long long u64;
typedef struct { char *p; size_t n, cap; } buf;
enum { S_STARTING, S_RUNNING, S_EXITED, S_FAILED, S_ORPHANED, S_LOST };
static const char *STATE[] = {"starting", "running", "exited", "failed", "orphaned", "lost"};
enum { T_FORK, T_SETSID, T_NICE, T_RLIMIT, T_GROUPS, T_GID, T_UID, T_PRIVS, T_CHDIR, T_STDIN,
       T_STDOUT, T_STDERR, T_EXEC };
static const char *STAGE[] = {"fork", "setsid", "nice", "rlimit", "setgroups", "setgid", "setuid",
                              "no_new_privs", "chdir", "stdin", "stdout", "stderr", "exec"};
enum { K_LISTEN, K_SIGNAL, K_CONN, K_PIPE };
typedef struct task {
    int kind, pipe;                          /* kind first: epoll points here */
    struct task *next_id, *next_pid, *garbage;
    pid_t pid;
    u64 start, utime, stime, maxrss;
    int state, status, stage;                /* status: wait status, or errno when failed */
    u64 conn, seq;                           /* who waits for LAUNCHED */
    u64 dconn, dseq;                         /* who waits for DESTROYED */
    int destroying, ghost, members;
    char id[];
} task;
typedef struct conn { int kind, fd, dead, writing; u64 no; buf in, out; struct conn *next; } conn;
typedef struct { pid_t pid, ppid, pgrp, sid; int state, threads, stopped; long rss;
                 u64 start, ut, st, cut, cst; task *owner; } proc;
typedef struct { task *t; u64 conn, seq, ut, st, rss, procs, threads; } want;

static int ep, journal = -1, lockfd, use_all, pass, journal_torn;
static pid_t self;
static const char *journal_path, *socket_path;
static buf jbuf;
static u64 next_conn = 1, launches, failures, journal_lines, journal_errors, rounds, next_pass;
static size_t ntasks, nlive, ndestroying, nbuckets = 1024;
static task **by_id, **by_pid, *garbage;
static conn *conns;
static proc *now_p, *old_p;
static size_t now_n, old_n, now_cap, old_cap;
static want *wants;
static struct { pid_t pid; task *owner; } known[STRANGERS];  /* children of ours that lead no task */
static size_t nknown;
static size_t nwants;

static void *need(void *p) { if (!p) { fputs("zygote: out of memory\n", stderr); abort(); } return p; }
static void put(buf *b, const void *p, size_t n) {
    if (b->n + n > b->cap) { b->cap = (b->n + n) * 2; b->p = need(realloc(b->p, b->cap)); }
    memcpy(b->p + b->n, p, n);
    b->n += n;
}
static void drop_fd(int fd) {  /* a child that has not exec'ed yet keeps it open: epoll must be told */
    epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL);
    close(fd);
}
static u64 now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * 1000000 + (u64)t.tv_nsec / 1000;
}
static u64 now_ms(void) { return now_us() / 1000; }

/* ---- the table of tasks, by id and by leader's pid ---- */
static size_t hash_id(const char *s) {
    uint32_t h = 2166136261u;
    while (*s) h = (h ^ (unsigned char)*s++) * 16777619u;
    return h & (nbuckets - 1);
}
static size_t hash_pid(pid_t p) { return (uint32_t)p & (nbuckets - 1); }
static task *find_id(const char *id) {
    task *t = by_id[hash_id(id)];
    while (t && strcmp(t->id, id)) t = t->next_id;
    return t;
}
static task *find_pid(pid_t pid) {
    task *t = by_pid[hash_pid(pid)];
    while (t && t->pid != pid) t = t->next_pid;
    return t;
}
static void unlink_pid(task *t) {
    task **q = &by_pid[hash_pid(t->pid)];
    while (*q && *q != t) q = &(*q)->next_pid;
    if (*q) *q = t->next_pid;
}
static void set_pid(task *t, pid_t pid) {
    task *old = find_pid(pid);  /* the kernel gave the number anew, so nothing of the old is left */
    if (old) unlink_pid(old);
    t->pid = pid;
    t->next_pid = by_pid[hash_pid(pid)];
    by_pid[hash_pid(pid)] = t;
}
static void grow(void) {
    size_t old = nbuckets;
    task **ids = by_id, **pids = by_pid, *t, *nx;
    nbuckets *= 2;
    by_id = need(calloc(nbuckets, sizeof *by_id));
    by_pid = need(calloc(nbuckets, sizeof *by_pid));
    for (size_t i = 0; i < old; i++) {
        for (t = ids[i]; t; t = nx) { nx = t->next_id; size_t h = hash_id(t->id); t->next_id = by_id[h]; by_id[h] = t; }
        for (t = pids[i]; t; t = nx) { nx = t->next_pid; size_t h = hash_pid(t->pid); t->next_pid = by_pid[h]; by_pid[h] = t; }
    }
    free(ids);
    free(pids);
}
static task *add_task(const char *id, int state) {
    size_t n = strlen(id) + 1, h;
    task *t = need(calloc(1, sizeof *t + n));
    memcpy(t->id, id, n);
    t->kind = K_PIPE;
    t->pipe = -1;
    t->state = state;
    if (++ntasks > nbuckets) grow();
    h = hash_id(id);
    t->next_id = by_id[h];
    by_id[h] = t;
    return t;
}
static void drop_task(task *t) {  /* freed at the end of the turn: events may still point here */
    task **q = &by_id[hash_id(t->id)];
    while (*q != t) q = &(*q)->next_id;
    *q = t->next_id;
    if (t->pid) unlink_pid(t);
    if (t->destroying) ndestroying--;
    for (size_t i = 0; i < nknown; i++) if (known[i].owner == t) known[i].owner = NULL;
    now_n = old_n = 0;  /* their rows may point here */
    ntasks--;
    t->garbage = garbage;
    garbage = t;
}
static int is_live(const task *t) { return t->state == S_STARTING || t->state == S_RUNNING; }

/* ---- the journal: what the agent may still ask of a launcher started after this one died ---- */
static void note(const char *fmt, ...) {
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    put(&jbuf, line, (size_t)n);
    journal_lines++;
}
static void note_task(task *t) {
    if (t->ghost) return;
    if (t->pid) note("L %s %d %llu\n", t->id, t->pid, t->start);
    if (t->state == S_EXITED || t->state == S_LOST)
        note("X %s %d %llu %llu %llu\n", t->id, t->status, t->utime, t->stime, t->maxrss);
    if (t->state == S_FAILED) note("E %s %d %d\n", t->id, t->status, t->stage);
}
static int write_journal(int fd) {  /* 0: all of jbuf is in the file */
    size_t at = 0;
    for (ssize_t n; at < jbuf.n && (n = write(fd, jbuf.p + at, jbuf.n - at)) > 0;) at += (size_t)n;
    int torn = at < jbuf.n;
    jbuf.n = 0;
    journal_errors += (u64)torn;
    return torn;
}
static void flush_journal(void) {
    if (jbuf.n && write_journal(journal)) journal_torn = 1;  /* written anew, once there is room */
}
static void boot_id(char out[64]) {
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, out, 63);
    if (fd >= 0) close(fd);
    out[n < 0 ? 0 : n] = 0;
    out[strcspn(out, "\n")] = 0;
}
static void compact_journal(void) {
    char tmp[PATH_MAX], boot[64];
    snprintf(tmp, sizeof tmp, "%s.new", journal_path);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) { journal_errors++; return; }
    jbuf.n = 0;  /* the tasks themselves say all of it */
    journal_lines = 0;
    boot_id(boot);
    note("B %s\n", boot);
    for (size_t i = 0; i < nbuckets; i++)
        for (task *t = by_id[i]; t; t = t->next_id) note_task(t);
    if (write_journal(fd) || rename(tmp, journal_path)) {  /* the old one tells more */
        journal_errors++;
        journal_torn = 1;
        close(fd);
        unlink(tmp);
        return;
    }
    if (journal >= 0) close(journal);
    journal = fd;
    journal_torn = 0;
}

/* ---- /proc ---- */
static int read_stat(pid_t pid, proc *p) {
    char path[64], text[1024], *s;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return 0;
    text[n] = 0;
    if (!(s = strrchr(text, ')'))) return 0;
    memset(p, 0, sizeof *p);
    p->pid = pid;
    char state;
    if (sscanf(s + 1, " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu %*d %*d %d %*d %llu %*u %ld",
               &state, &p->ppid, &p->pgrp, &p->sid, &p->ut, &p->st, &p->cut, &p->cst, &p->threads,
               &p->start, &p->rss) != 11) return 0;
    p->state = state;
    return 1;
}
static int by_number(const void *a, const void *b) { return ((const proc *)a)->pid - ((const proc *)b)->pid; }
static proc *lookup(proc *table, size_t n, pid_t pid) {
    proc key = {.pid = pid};
    return bsearch(&key, table, n, sizeof key, by_number);
}
static task *marked(pid_t pid) {  /* whose marker the environment of `pid` carries */
    static char env[2 << 20];
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return NULL;
    size_t n = 0;
    ssize_t got;
    while (n < sizeof env - 1 && (got = read(fd, env + n, sizeof env - 1 - n)) > 0) n += (size_t)got;
    close(fd);
    env[n] = 0;
    for (char *s = env; s < env + n; s += strlen(s) + 1)
        if (!strncmp(s, MARKER, sizeof MARKER - 1)) return find_id(s + sizeof MARKER - 1);
    return NULL;
}
static task *direct(const proc *p) {  /* owner by what the process itself shows, not by its parent */
    task *t = find_pid(p->pid);
    if (t && t->start == p->start && t->state != S_EXITED && t->state != S_LOST) return t;
    if (p->ppid == self && (t = find_pid(p->sid))) return t;
    return p->ppid == self || use_all ? marked(p->pid) : NULL;
}
static int send_to(const proc *p, int sig) {  /* safe against reuse of the number */
    proc again;
    int fd = (int)syscall(SYS_pidfd_open, p->pid, 0), r = -1;
    if (fd < 0 && errno == ESRCH) return -1;  /* without it (an old kernel, no descriptor left) kill must do */
    if (read_stat(p->pid, &again) && again.start == p->start)
        r = fd < 0 ? kill(p->pid, sig) : (int)syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0);
    if (fd >= 0) close(fd);
    return r;
}
static int gone(int state) { return state == 'Z' || state == 'X' || state == 'x'; }
static task *owner_of(const proc *p, int depth) {
    proc up, *q;
    task *t = p->pid == self ? NULL : direct(p);
    if (t || p->pid == self || p->ppid <= 1 || p->ppid == self || depth > 1000) return t;
    if ((q = lookup(now_p, now_n, p->ppid))) return q->owner;  /* read in this very look: not reused */
    return read_stat(p->ppid, &up) ? owner_of(&up, depth + 1) : NULL;
}
static int look_at(pid_t pid, int stopping) {  /* one more row, if there is such a process; 1: stopped by this */
    if (now_n && pid <= now_p[now_n - 1].pid) return 0;
    if (now_n == now_cap) { now_cap = now_cap * 2 + 512; now_p = need(realloc(now_p, now_cap * sizeof *now_p)); }
    proc *was = lookup(old_p, old_n, pid), *p = &now_p[now_n];
    if (stopping && was && was->stopped == pass) { *p = *was; now_n++; return 0; }
    int fd = stopping ? (int)syscall(SYS_pidfd_open, pid, 0) : -1, fresh = 0;  /* first: `p` is then this one */
    if (read_stat(pid, p)) {
        p->owner = was && was->owner && was->start == p->start ? was->owner : owner_of(p, 0);
        now_n++;
        if (stopping && p->owner && p->owner->destroying && !gone(p->state))
            fresh = !(fd < 0 ? send_to(p, SIGSTOP) : (int)syscall(SYS_pidfd_send_signal, fd, SIGSTOP, NULL, 0));
        if (fresh) p->stopped = pass;
    }
    if (fd >= 0) close(fd);
    return fresh;
}
static pid_t last_pid(void) {  /* the number that the kernel gave last */
    char text[128], *s;
    int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    text[n < 0 ? 0 : n] = 0;
    return (s = strrchr(text, ' ')) ? (pid_t)atoi(s) : 0;
}
/* Every process of the host, each with the task it belongs to; /proc is listed by number. When
 * stopping, a process of a task being destroyed is stopped as soon as it is seen, and not read again
 * in that pass; then come those born meanwhile, so that one that forks and leaves is caught. */
static int snapshot(int stopping) {
    int fresh = 0;
    proc *sp = old_p; size_t sc = old_cap;
    old_p = now_p; old_n = now_n; old_cap = now_cap;
    now_p = sp; now_cap = sc; now_n = 0;
    DIR *d = opendir("/proc");
    struct dirent *e;
    while (d && (e = readdir(d))) if (isdigit((unsigned char)e->d_name[0])) fresh += look_at(atoi(e->d_name), stopping);
    if (d) closedir(d);
    for (pid_t i = 0, last, seen = 0; fresh && i < CHASE && (last = last_pid()) != seen; i++, seen = last)
        for (pid_t pid = last > 3 ? last - 3 : 1; pid < last + 2; pid++) fresh += look_at(pid, 1);
    return fresh;
}
static int maybe_orphan(pid_t pid) {
    task *t = find_pid(pid);
    if (t && is_live(t)) return 0;
    size_t i = 0;
    while (i < nknown && known[i].pid != pid) i++;
    return i == nknown || (known[i].owner && known[i].owner->destroying);
}
static int orphans(void) {  /* 0: no child of ours can belong to a task that is being destroyed */
    char path[64], text[4096];
    int found = 0, pid = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", self);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 1;
    ssize_t got;
    while (!found && (got = read(fd, text, sizeof text)) > 0)  /* a number may go on in the next part */
        for (ssize_t i = 0; i < got && !found; i++) {
            if (isdigit((unsigned char)text[i])) pid = pid * 10 + text[i] - '0';
            else { found = pid && maybe_orphan(pid); pid = 0; }
        }
    close(fd);
    return found || got < 0;
}

/* ---- answers ---- */
static conn *find_conn(u64 no) {
    conn *c = conns;
    while (c && c->no != no) c = c->next;
    return c && !c->dead ? c : NULL;
}
static void answer(conn *c, const char *fmt, ...) {  /* '|' in fmt separates fields */
    char text[1024];
    va_list ap;
    if (!c || c->dead) return;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n >= (int)sizeof text) n = sizeof text - 1;
    for (int i = 0; i < n; i++) if (text[i] == '|') text[i] = 0;
    text[n++] = 0;
    uint32_t size = htonl((uint32_t)n);
    put(&c->out, &size, 4);
    put(&c->out, text, (size_t)n);
    if (c->out.n > MAX_UNREAD) c->dead = 1;
}
static void tell_launch(task *t, conn *c, u64 seq) {
    if (t->state == S_FAILED) answer(c, "FAILED|%llu|%s|%d|%s", seq, t->id, t->status, STAGE[t->stage]);
    else answer(c, "LAUNCHED|%llu|%s|%d|%llu", seq, t->id, t->pid, t->start);
}
static void tell_exit(task *t) {
    for (conn *c = conns; c; c = c->next)
        answer(c, "EXITED|0|%s|%d|%llu|%llu|%llu", t->id, t->status, t->utime, t->stime, t->maxrss);
}

/* ---- launching ---- */
typedef struct { char *id, *file, *cwd, *out, *err, *uid, *gid, *groups, *umask, *nice, *rlimits, *flags; char **argv, **envp; } plan;
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
static void child(plan *p, int fd) {  /* never returns: becomes the task or reports the stage */
    sigset_t none;
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    gid_t groups[65536 / sizeof(gid_t)];
    size_t ngroups = 0;
    char *s, *end;
    for (int i = 1; i < NSIG; i++) if (i != SIGKILL && i != SIGSTOP) sigaction(i, &dfl, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
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
static void settle(task *t);
static void launch(conn *c, u64 seq, plan *p) {
    int fds[2];
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
    if (pipe2(fds, O_CLOEXEC)) { fail(t, T_FORK, errno); tell_launch(t, c, seq); return; }
    pid_t pid = fork();
    if (!pid) {
        if (fds[1] < 3) fds[1] = fcntl(fds[1], F_DUPFD_CLOEXEC, 3);
        child(p, fds[1]);
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
static void settle(task *t) {  /* the child has exec'ed, or says why it could not */
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
static void reap(void) {
    int status;
    struct rusage ru;
    pid_t pid;
    while ((pid = wait4(-1, &status, WNOHANG, &ru)) > 0) {
        task *t = find_pid(pid);
        for (size_t i = 0; i < nknown; i++) if (known[i].pid == pid) known[i--] = known[--nknown];
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

/* ---- killing a whole tree, and measuring one ---- */
static void set_scope(void) {  /* processes that are not below us matter only for lost tasks */
    use_all = 0;
    for (size_t i = 0; i < nbuckets && !use_all; i++)
        for (task *t = by_id[i]; t; t = t->next_id)
            if (t->state == S_ORPHANED || (t->destroying && t->state == S_LOST)) use_all = 1;
}
static void finish_destroyed(int snapped) {
    for (size_t i = 0; i < nbuckets; i++)
        for (task *t = by_id[i], *nx; t; t = nx) {
            nx = t->next_id;
            if (!t->destroying || is_live(t) || t->state == S_ORPHANED || (snapped && t->members)) continue;
            if (!snapped && t->state == S_LOST) continue;
            t->destroying = 0;
            ndestroying--;
            answer(find_conn(t->dconn), "DESTROYED|%llu|%s", t->dseq, t->id);
            if (t->ghost) drop_task(t);
        }
}
static void check_orphaned(void);
static void destroy_pass(void) {
    int fresh = 1;
    set_scope();
    check_orphaned();
    for (size_t i = 0; i < nbuckets; i++)
        for (task *t = by_id[i]; t; t = t->next_id)
            if (t->destroying && is_live(t)) kill(-t->pid, SIGSTOP);  /* one group at one instant */
    pass++;
    for (int round = 0; fresh && round < STOP_ROUNDS; round++) fresh = snapshot(1);
    for (size_t i = 0; i < nbuckets; i++) for (task *t = by_id[i]; t; t = t->next_id) t->members = 0;
    for (size_t i = 0; i < now_n; i++) {
        proc *p = &now_p[i];
        if (!p->owner || !p->owner->destroying || gone(p->state)) continue;
        p->owner->members++;
        send_to(p, SIGKILL);
    }
    rounds++;
    nknown = 0;
    for (size_t i = 0; i < now_n && nknown < STRANGERS; i++)
        if (now_p[i].ppid == self && !(now_p[i].owner && now_p[i].owner->pid == now_p[i].pid)) {
            known[nknown].pid = now_p[i].pid;
            known[nknown++].owner = now_p[i].owner;
        }
    /* a child that this look did not see may be one that forks and leaves: look again */
    if (nknown == STRANGERS || rounds > 100 || !orphans()) finish_destroyed(1);
}
static int signal_task(task *t, int sig, const char *scope) {
    int sent = 0;
    if (!strcmp(scope, "tree") || t->state == S_ORPHANED) {
        set_scope();
        snapshot(0);
        for (size_t i = 0; i < now_n; i++)
            if (now_p[i].owner == t && !gone(now_p[i].state) && (strcmp(scope, "leader") || now_p[i].pid == t->pid))
                sent += !send_to(&now_p[i], sig);
        return sent;
    }
    if (!is_live(t)) return 0;  /* not reaped, so the number is still this task's */
    if (!strcmp(scope, "group") && !kill(-t->pid, sig)) return 1;
    return !kill(t->pid, sig);  /* also when it has not come to setsid yet */
}
static void answer_usage(void) {
    long hz = sysconf(_SC_CLK_TCK), page = sysconf(_SC_PAGESIZE);
    set_scope();
    snapshot(0);
    for (size_t w = 0; w < nwants; w++) if (wants[w].t) wants[w].t->members = (int)w;
    for (size_t i = 0; i < now_n; i++) {
        proc *p = &now_p[i];
        want *w = p->owner && (size_t)p->owner->members < nwants ? &wants[p->owner->members] : NULL;
        if (!w || w->t != p->owner || gone(p->state)) continue;
        w->ut += p->ut + p->cut;
        w->st += p->st + p->cst;
        w->rss += (u64)p->rss * (u64)page;
        w->procs++;
        w->threads += (u64)p->threads;
    }
    for (size_t i = 0; i < nwants; i++) {  /* a task asked for twice has one sum, its last entry's */
        want *a = &wants[i], *w = a->t ? &wants[a->t->members] : a;
        answer(find_conn(a->conn), "USAGE|%llu|%s|%llu|%llu|%llu|%llu|%llu", a->seq, a->t ? a->t->id : "",
               w->ut * (1000000ull / (u64)hz), w->st * (1000000ull / (u64)hz), w->rss, w->procs, w->threads);
    }
    nwants = 0;
}
static void check_orphaned(void) {  /* tasks of a launcher before us: their end can be seen, not their status */
    proc p;
    for (size_t i = 0; i < nbuckets; i++)
        for (task *t = by_id[i]; t; t = t->next_id) {
            if (t->state != S_ORPHANED || (read_stat(t->pid, &p) && p.start == t->start && !gone(p.state))) continue;
            t->state = S_LOST;
            t->status = -1;
            note_task(t);
            tell_exit(t);
        }
}

/* ---- requests ---- */
static int good_id(const char *s) {
    size_t n = strlen(s);
    if (!n || n > 255) return 0;
    for (; *s; s++) if (!isalnum((unsigned char)*s) && !strchr("._-", *s)) return 0;
    return 1;
}
static void request(conn *c, char **f, size_t n) {
    u64 seq = n > 1 ? strtoull(f[1], NULL, 10) : 0;
    const char *k = n ? f[0] : "", *id = n > 2 ? f[2] : "";
    if (!strcmp(k, "LAUNCH") && n >= 15 && good_id(id)) {
        size_t argc = strtoul(f[14], NULL, 10), first = 15 + argc, m = 1;
        plan p = {f[2], f[3], f[4], f[5], f[6], f[7], f[8], f[9], f[10], f[11], f[12], f[13], NULL, NULL};
        if (argc < 1 || argc > n - 15) { answer(c, "REFUSED|%llu|LAUNCH has no argument vector", seq); return; }
        char own[sizeof MARKER + 256];
        snprintf(own, sizeof own, MARKER "%s", id);
        p.argv = need(calloc(argc + 1, sizeof *p.argv));
        p.envp = need(calloc(n - first + 2, sizeof *p.envp));
        memcpy(p.argv, f + 15, argc * sizeof *p.argv);
        p.envp[0] = own;
        for (size_t i = first; i < n; i++)
            if (strncmp(f[i], MARKER, sizeof MARKER - 1)) p.envp[m++] = f[i];
        launch(c, seq, &p);
        free(p.argv);
        free(p.envp);
        return;
    }
    if (!strcmp(k, "HELLO")) { answer(c, "HELLO|%llu|%d|%d|c", seq, VERSION, self); return; }
    if (!strcmp(k, "PING")) { answer(c, "PONG|%llu", seq); return; }
    if (!strcmp(k, "LIST")) {
        for (size_t i = 0; i < nbuckets; i++)
            for (task *t = by_id[i]; t; t = t->next_id)
                if (!t->ghost)
                    answer(c, "ENTRY|%llu|%s|%s|%d|%llu|%d|%s|%llu|%llu|%llu", seq, t->id, STATE[t->state], t->pid, t->start,
                           t->status, t->state == S_FAILED ? STAGE[t->stage] : "", t->utime, t->stime, t->maxrss);
        answer(c, "LISTED|%llu", seq);
        return;
    }
    if (!strcmp(k, "STATS")) {
        answer(c, "STATS|%llu|launches|%llu|failures|%llu|live|%zu|known|%zu|destroying|%zu|journal_lines|%llu|journal_errors|%llu",
               seq, launches, failures, nlive, ntasks, ndestroying, journal_lines, journal_errors);
        return;
    }
    if (!strcmp(k, "SHUTDOWN")) {
        if (nlive && strcmp(id, "force")) { answer(c, "REFUSED|%llu|%zu tasks are still running", seq, nlive); return; }
        flush_journal();
        answer(c, "BYE|%llu", seq);
        send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL);
        unlink(socket_path);
        exit(0);
    }
    if (!good_id(id)) { answer(c, "REFUSED|%llu|the request is unknown, or its container id is not valid", seq); return; }
    task *t = find_id(id);
    if (!strcmp(k, "SIGNAL") && n >= 5) {
        answer(c, "SIGNALLED|%llu|%s|%d", seq, id, t ? signal_task(t, atoi(f[3]), f[4]) : 0);
    } else if (!strcmp(k, "DESTROY")) {
        if (!t) { t = add_task(id, S_LOST); t->ghost = 1; }
        if (!t->destroying) ndestroying++;
        t->destroying = 1;
        t->dconn = c->no;
        t->dseq = seq;
        rounds = 0;
        next_pass = 0;
    } else if (!strcmp(k, "FORGET")) {
        if (t && (is_live(t) || t->state == S_ORPHANED)) { answer(c, "REFUSED|%llu|the container %s still runs", seq, id); return; }
        if (t && !t->ghost) { note("F %s\n", id); drop_task(t); }
        answer(c, "FORGOTTEN|%llu|%s", seq, id);
    } else if (!strcmp(k, "USAGE")) {
        wants = need(realloc(wants, (nwants + 1) * sizeof *wants));
        wants[nwants++] = (want){.t = t, .conn = c->no, .seq = seq};
    } else answer(c, "REFUSED|%llu|the request is unknown or incomplete", seq);
}
static void feed(conn *c) {
    char chunk[65536];
    ssize_t got = recv(c->fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (got <= 0) { if (!got || (errno != EAGAIN && errno != EINTR)) c->dead = 1; return; }
    put(&c->in, chunk, (size_t)got);
    size_t at = 0;
    static char **fields;
    static size_t cap;
    while (c->in.n - at >= 4 && !c->dead) {
        uint32_t size;
        memcpy(&size, c->in.p + at, 4);
        size = ntohl(size);
        if (!size || size > MAX_FRAME) { c->dead = 1; break; }
        if (c->in.n - at - 4 < size) break;
        char *s = c->in.p + at + 4, *end = s + size;
        size_t n = 0;
        if (end[-1]) { c->dead = 1; break; }
        for (; s < end; s += strlen(s) + 1) {
            if (n == cap) fields = need(realloc(fields, (cap = cap * 2 + 64) * sizeof *fields));
            fields[n++] = s;
        }
        request(c, fields, n);
        at += 4 + size;
    }
    memmove(c->in.p, c->in.p + at, c->in.n - at);
    c->in.n -= at;
    if (!c->in.n && c->in.cap > 1 << 20) { free(c->in.p); c->in = (buf){0}; }
}
static void drain(conn *c) {
    ssize_t n = c->out.n ? send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
    if (n < 0 && errno != EAGAIN) c->dead = 1;
    if (n > 0) { memmove(c->out.p, c->out.p + n, c->out.n - (size_t)n); c->out.n -= (size_t)n; }
    if (c->writing == !!c->out.n) return;
    c->writing = !c->writing;
    struct epoll_event ev = {.events = EPOLLIN | (c->writing ? EPOLLOUT : 0u), .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &ev);
}
static void welcome(int lfd) {
    struct ucred who;
    socklen_t len = sizeof who;
    int fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) return;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) || (who.uid != 0 && who.uid != geteuid())) { close(fd); return; }
    conn *c = need(calloc(1, sizeof *c));
    *c = (conn){.kind = K_CONN, .fd = fd, .no = next_conn++, .next = conns};
    conns = c;
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev)) c->dead = 1;
}
static void load_journal(void) {
    char line[512], id[256], boot[64], was[64] = "";
    FILE *f = fopen(journal_path, "re");
    proc p;
    boot_id(boot);
    while (f && fgets(line, sizeof line, f)) {
        int a, b;
        u64 x, y, z;
        task *t;
        if (!strchr(line, '\n')) break;  /* torn by a crash: the rest was never promised */
        if (sscanf(line, "B %63s", was) == 1) continue;
        if (sscanf(line, "%*c %255s", id) != 1 || !good_id(id)) continue;
        t = find_id(id);
        if (line[0] == 'F' && t) { drop_task(t); continue; }
        if (line[0] == 'L' && sscanf(line, "L %*s %d %llu", &a, &x) == 2) {
            if (!t) t = add_task(id, S_ORPHANED);
            set_pid(t, a);
            t->start = x;
        } else if (line[0] == 'X' && t && sscanf(line, "X %*s %d %llu %llu %llu", &a, &x, &y, &z) == 4) {
            t->state = a == -1 ? S_LOST : S_EXITED;
            t->status = a; t->utime = x; t->stime = y; t->maxrss = z;
        } else if (line[0] == 'E' && sscanf(line, "E %*s %d %d", &a, &b) == 2 && b >= 0 && b <= T_EXEC) {
            if (!t) t = add_task(id, S_FAILED);
            t->state = S_FAILED; t->status = a; t->stage = b;
        }
    }
    if (f) fclose(f);
    for (size_t i = 0; i < nbuckets; i++)
        for (task *t = by_id[i]; t; t = t->next_id)
            if (t->state == S_ORPHANED && (strcmp(boot, was) || !read_stat(t->pid, &p) || p.start != t->start || gone(p.state))) {
                t->state = S_LOST;
                t->status = -1;
            }
    compact_journal();
}
static void stop(const char *what) { fprintf(stderr, "zygote: %s: %s\n", what, strerror(errno)); exit(1); }

int main(int argc, char **argv) {
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char lock[PATH_MAX];
    if (argc != 4) { fputs("usage: zygote SOCKET JOURNAL IDLE_SECONDS\n", stderr); return 2; }
    u64 idle_ms = strtoull(argv[3], NULL, 10) * 1000;
    if (strlen(argv[1]) >= sizeof addr.sun_path) { fputs("zygote: the socket's path is longer than 107 characters\n", stderr); return 2; }
    strcpy(addr.sun_path, argv[1]);
    journal_path = argv[2];
    socket_path = argv[1];
    umask(077);
#ifdef SYS_close_range
    syscall(SYS_close_range, 3, ~0u, 0);
#endif
    snprintf(lock, sizeof lock, "%s.lock", argv[1]);
    if ((lockfd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)) < 0) stop(lock);
    if (flock(lockfd, LOCK_EX | LOCK_NB)) return 0;  /* another one already serves this socket */
    by_id = need(calloc(nbuckets, sizeof *by_id));
    by_pid = need(calloc(nbuckets, sizeof *by_pid));
    int lfd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(argv[1]);
    if (bind(lfd, (struct sockaddr *)&addr, sizeof addr) || listen(lfd, 64)) stop(argv[1]);
    pid_t pid = fork();
    if (pid < 0) stop("fork");
    if (pid) _exit(0);  /* listening: whoever started us may connect */
    setsid();
    self = getpid();
    if (chdir("/")) stop("/");
    int null = open("/dev/null", O_RDWR);
    for (int i = 0; i < 3; i++) dup2(null, i);
    if (null > 2) close(null);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);  /* environments pass through here: no core, no ptrace */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    sigset_t chld;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_SETMASK, &chld, NULL);
    int sfd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK), lk = K_LISTEN, sk = K_SIGNAL;
    ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &lk}, ev2 = {.events = EPOLLIN, .data.ptr = &sk}, got[256];
    if (sfd < 0 || ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, lfd, &ev) || epoll_ctl(ep, EPOLL_CTL_ADD, sfd, &ev2)) return 1;
    load_journal();
    u64 alone_since = now_ms(), ticked = 0;
    for (;;) {
        u64 due = ndestroying ? now_us() : 0;
        int wait = !ndestroying ? 1000 : next_pass > due ? (int)((next_pass - due) / 1000) + 1 : 0;
        int n = epoll_wait(ep, got, 256, wait);
        for (int i = 0; i < n; i++) switch (*(int *)got[i].data.ptr) {
            case K_LISTEN: welcome(lfd); break;
            case K_SIGNAL: { struct signalfd_siginfo si[16]; while (read(sfd, si, sizeof si) > 0) {} reap(); break; }
            case K_CONN: if (!((conn *)got[i].data.ptr)->dead && got[i].events & ~(uint32_t)EPOLLOUT) feed(got[i].data.ptr); break;
            case K_PIPE: settle(got[i].data.ptr); break;
        }
        if (nwants) answer_usage();
        if (ndestroying) {
            reap();
            if (!orphans()) finish_destroyed(0);
        }
        if (ndestroying && now_us() >= next_pass) {  /* ahead of whatever floods the host */
            u64 began = now_us();
            int urgent = !sched_setscheduler(0, SCHED_RR, &(struct sched_param){.sched_priority = 1});
            destroy_pass();
            if (urgent) sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0});
            next_pass = now_us();  /* who was killed needs the processor as well */
            next_pass += rounds < 100 ? next_pass - began + 1000 : 200000;
        }
        u64 now = now_ms();
        if (now - ticked >= 1000) {
            ticked = now;
            check_orphaned();
            if (journal_torn) compact_journal();
        }
        if (journal_lines > 20000 + 4 * ntasks) compact_journal();
        flush_journal();  /* before the answers: what the agent hears is already written */
        for (conn **q = &conns, *c; (c = *q);) {
            if (!c->dead && c->out.n) drain(c);
            if (!c->dead) { q = &c->next; continue; }
            *q = c->next;
            drop_fd(c->fd);
            free(c->in.p);
            free(c->out.p);
            free(c);
        }
        for (task *t; (t = garbage); free(t)) garbage = t->garbage;
        if (conns || nlive || ndestroying) alone_since = now;
        else if (now - alone_since >= idle_ms) { unlink(argv[1]); return 0; }
    }
}
