/* Ending a task with all its processes.
 *
 * Each of them is below this launcher, which is the reaper of whatever loses its parent. So nobody of
 * the task is left at an instant at which no child of ours can be of the task: each is the leader of
 * another task, or known to be another's. The kernel's list of our children gives such an instant,
 * since only we take rows from it and new ones come last. A process that forks and leaves is therefore
 * seen sooner or later, however fast it is, and is stopped when seen. For tasks of a launcher before
 * this one there is no such list: two looks in a row at the whole host must find nobody. */
#include "zygote.h"
#include <ctype.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STOP_ROUNDS 20  /* looks at the host in one pass; the next pass goes on where this one left */
#define CHASE 64        /* looks at our children in one turn */
#define DOUBTS 20       /* looks at a child whose environment is empty, as it is during an exec */
#define CHILDREN_EMPTIES 3
u64 next_pass, passes;
static int stop_round, no_list, quiet, tries;

void begin_destroy(task *t, conn *c, u64 seq) {
    if (!t->destroying) ndestroying++;
    t->destroying = 1;
    t->empties = 0;
    t->dconn = c->no;
    t->dseq = seq;
    quiet = tries = 0;
    next_pass = 0;
    doubt_strangers();
}
static void finish(task *t) {
    t->destroying = 0;
    ndestroying--;
    answer(find_conn(t->dconn), "DESTROYED|%llu|%s", t->dseq, t->id);
    if (t->ghost) drop_task(t);
}
static void finish_below(void) {
    EACH_TASK(t) if (t->destroying && !is_live(t) && t->state != S_ORPHANED && t->state != S_LOST) finish(t);
}
static void finish_elsewhere(void) {
    EACH_TASK(t) if (t->destroying && t->state == S_LOST && t->empties >= 2) finish(t);
}
/* 1: the child cannot be of a task being destroyed. One that is, or may be, is stopped at once. */
static int explained(pid_t pid, int *fresh) {
    proc p;
    int unclear, looks;
    task *t = find_pid(pid);
    child *known = find_child(pid);
    if (t && is_live(t)) return 1;
    if (known && !known->unclear) return !(known->owner && known->owner->destroying);
    looks = known ? known->unclear : 0;
    if (!read_stat(pid, &p) || gone(&p)) return 1;  /* dead; what it left is in the list behind it */
    t = owner_of_child(&p, &unclear);
    if (!t && unclear && looks < DOUBTS) {
        learn_child(pid, NULL, looks + 1);
        return 0;
    }
    learn_child(pid, t, 0);
    ++*fresh;
    if (!t || !t->destroying) return 1;
    kill(pid, SIGSTOP);
    return 0;
}
static int left_below(int *fresh) {  /* 0: no child of ours can be of a task being destroyed */
    static char text[65536];
    char path[64];
    int left = 0, pid = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", self);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = -1;
    *fresh = 0;
    while (fd >= 0 && (got = read(fd, text, sizeof text)) > 0)  /* a number may go on in the next part */
        for (ssize_t i = 0; i < got; i++) {
            if (isdigit((unsigned char)text[i])) pid = pid * 10 + text[i] - '0';
            else { left += pid && !explained(pid, fresh); pid = 0; }
        }
    if (fd >= 0) close(fd);
    no_list = got < 0;
    return left || no_list;
}
static void count_members(int killing) {
    EACH_TASK(t) t->members = 0;
    for (size_t i = 0; i < now_n; i++) {
        proc *p = &now_p[i];
        if (p->ppid == self && p->owner && p->owner->pid != p->pid && !gone(p)) learn_child(p->pid, p->owner, 0);
        if (!p->owner || !p->owner->destroying || gone(p)) continue;
        p->owner->members++;
        if (killing) send_to(p, SIGKILL);
    }
}
/* One look at the host, and 1 once all that were found are killed. All are stopped before the first is
 * killed, so that each is known by its parent; who else waits is served between two looks. */
static int pass_on(void) {
    if (!stop_round) {
        set_scope();
        check_orphaned();
        EACH_TASK(t) if (t->destroying && is_live(t)) kill(-t->pid, SIGSTOP);  /* one group at one instant */
        pass++;
        passes++;
    }
    if (snapshot(1) && ++stop_round < STOP_ROUNDS) return 0;
    stop_round = 0;
    count_members(1);
    int all = 0;
    EACH_TASK(t) if (t->destroying) {
        t->empties = t->members ? 0 : t->empties + 1;
        all += t->members;
    }
    quiet = all ? 0 : quiet + 1;
    finish_elsewhere();
    if (no_list && quiet >= CHILDREN_EMPTIES) finish_below();  /* a kernel without the list */
    return 1;
}
void destroy_turn(void) {
    u64 began = now_us();
    int fresh = 1, left = 1;
    for (int i = 0; i < CHASE && left && fresh; i++) left = left_below(&fresh);
    if (!left) finish_below();
    if (!ndestroying) { stop_round = 0; return; }
    if (began < next_pass) return;
    /* ahead of whatever floods the host */
    int urgent = !sched_setscheduler(0, SCHED_RR, &(struct sched_param){.sched_priority = 1});
    int done = pass_on();
    if (urgent) sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0});
    next_pass = now_us();
    if (done) next_pass += next_pass - began + (++tries < 100 ? 1000 : 200000);  /* the killed need the processor as well */
}
int signal_task(task *t, int sig, const char *scope) {
    int sent = 0;
    if (!strcmp(scope, "tree") || t->state == S_ORPHANED) {
        set_scope();
        snapshot(0);
        for (size_t i = 0; i < now_n; i++)
            if (now_p[i].owner == t && !gone(&now_p[i]) && (strcmp(scope, "leader") || now_p[i].pid == t->pid))
                sent += !send_to(&now_p[i], sig);
        return sent;
    }
    if (!is_live(t)) return 0;  /* not reaped, so the number is still this task's */
    if (!strcmp(scope, "group") && !kill(-t->pid, sig)) return 1;
    return !kill(t->pid, sig);  /* also when it has not come to setsid yet */
}
void check_orphaned(void) {  /* tasks of a launcher before us: their end can be seen, not their status */
    proc p;
    for (size_t i = 0; i < nbuckets; i++)
        for (task *t = by_id[i]; t; t = t->next_id) {
            if (t->state != S_ORPHANED || (read_stat(t->pid, &p) && p.start == t->start && !gone(&p))) continue;
            t->state = S_LOST;
            t->status = -1;
            note_task(t);
            tell_exit(t);
        }
}

