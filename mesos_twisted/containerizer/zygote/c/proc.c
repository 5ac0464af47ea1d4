/* The host's processes, and whose each of them is. */
#include "zygote.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHASE 100
proc *now_p;
size_t now_n;
int use_all, pass;
static proc *old_p;
static size_t old_n, now_cap, old_cap;

int read_stat(pid_t pid, proc *p) {
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
    return n ? bsearch(&key, table, n, sizeof key, by_number) : NULL;
}
/* Whose marker the environment of `pid` carries; 0: it could not be read, or is empty just now. */
static int marked(pid_t pid, task **owner) {
    static char env[2 << 20];
    char path[64];
    size_t n = 0, m = strlen(MARKER), k = strlen(nonce);
    ssize_t got;
    *owner = NULL;
    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    while (n < sizeof env - 1 && (got = read(fd, env + n, sizeof env - 1 - n)) > 0) n += (size_t)got;
    close(fd);
    env[n] = 0;
    for (char *s = env; s < env + n && !*owner; s += strlen(s) + 1)
        if (!strncmp(s, MARKER, m) && !strncmp(s + m, nonce, k) && s[m + k] == ':') *owner = find_id(s + m + k + 1);
    return n > 0;
}
/* A child of ours that leads no task: by its session while the number of that is surely the task's,
 * by its marker, by the session of a task that has ended, unless another process leads that now. */
task *owner_of_child(const proc *p, int *unclear) {
    proc leader;
    task *owner, *t = find_pid(p->sid);
    *unclear = 0;
    if (t && is_live(t)) return t;
    *unclear = !marked(p->pid, &owner);
    if (!owner && t && !(read_stat(p->sid, &leader) && leader.start != t->start)) owner = t;
    return owner;
}
static task *direct(const proc *p) {  /* owner by what the process itself shows, not by its parent */
    int unclear;
    child *c;
    task *t = find_pid(p->pid);
    if (t && t->start == p->start && t->state != S_EXITED && t->state != S_LOST) return t;
    if (p->ppid == self) return (c = find_child(p->pid)) && c->owner ? c->owner : owner_of_child(p, &unclear);
    if (!use_all) return NULL;
    if ((t = find_pid(p->sid)) && t->state == S_ORPHANED) return t;  /* its leader was just seen alive */
    marked(p->pid, &t);
    return t;
}
int send_to(const proc *p, int sig) {  /* safe against reuse of the number */
    proc again;
    if (p->ppid == self) return kill(p->pid, sig);  /* not waited for, so the number is still its own */
    int fd = (int)syscall(SYS_pidfd_open, p->pid, 0), r = -1;
    if (fd < 0 && errno == ESRCH) return -1;  /* without it (an old kernel, no descriptor left) kill must do */
    if (read_stat(p->pid, &again) && again.start == p->start)
        r = fd < 0 ? kill(p->pid, sig) : (int)syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0);
    if (fd >= 0) close(fd);
    return r;
}
int gone(const proc *p) {  /* a leader whose other threads live on is shown as a zombie as well */
    return p->state == 'X' || p->state == 'x' || (p->state == 'Z' && p->threads <= 1);
}
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
        if (stopping && p->owner && p->owner->destroying && !gone(p))
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
int snapshot(int stopping) {
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
void set_scope(void) {  /* processes that are not below us matter only for lost tasks */
    use_all = 0;
    for (size_t i = 0; i < nbuckets && !use_all; i++)
        for (task *t = by_id[i]; t; t = t->next_id)
            if (t->state == S_ORPHANED || (t->destroying && t->state == S_LOST)) use_all = 1;
}
void disown_rows(task *t) {
    for (size_t i = 0; i < now_n; i++) if (now_p[i].owner == t) now_p[i].owner = NULL;
    for (size_t i = 0; i < old_n; i++) if (old_p[i].owner == t) old_p[i].owner = NULL;
}
