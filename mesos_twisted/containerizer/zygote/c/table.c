/* The launcher's tables: tasks by id and by their leader's pid, and the children of ours that lead no
 * task. A child that has not been waited for keeps its number, so a pid names it surely. */
#include "zygote.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHILD_BUCKETS 4096
size_t nbuckets = 1024, ntasks, nlive, ndestroying;
task **by_id, *garbage;
static task **by_pid;
static child *children[CHILD_BUCKETS];

void *need(void *p) { if (!p) { fputs("zygote: out of memory\n", stderr); abort(); } return p; }
void put(buf *b, const void *p, size_t n) {
    if (!n) return;
    if (b->n + n > b->cap) { b->cap = (b->n + n) * 2; b->p = need(realloc(b->p, b->cap)); }
    memcpy(b->p + b->n, p, n);
    b->n += n;
}
void make_tables(void) {
    by_id = need(calloc(nbuckets, sizeof *by_id));
    by_pid = need(calloc(nbuckets, sizeof *by_pid));
}
static size_t hash_id(const char *s) {
    uint32_t h = 2166136261u;
    while (*s) h = (h ^ (unsigned char)*s++) * 16777619u;
    return h & (nbuckets - 1);
}
static size_t hash_pid(pid_t p) { return (uint32_t)p & (nbuckets - 1); }
task *find_id(const char *id) {
    task *t = by_id[hash_id(id)];
    while (t && strcmp(t->id, id)) t = t->next_id;
    return t;
}
task *find_pid(pid_t pid) {
    task *t = by_pid[hash_pid(pid)];
    while (t && t->pid != pid) t = t->next_pid;
    return t;
}
static void unlink_pid(task *t) {
    task **q = &by_pid[hash_pid(t->pid)];
    while (*q && *q != t) q = &(*q)->next_pid;
    if (*q) *q = t->next_pid;
}
void set_pid(task *t, pid_t pid) {
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
task *add_task(const char *id, int state) {
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
static void drop_children(const task *owner) {
    for (size_t i = 0; i < CHILD_BUCKETS; i++)
        for (child **q = &children[i], *c; (c = *q);)
            if (c->owner == owner) { *q = c->next; free(c); }
            else q = &c->next;
}
void drop_task(task *t) {  /* freed at the end of the turn: events may still point here */
    task **q = &by_id[hash_id(t->id)];
    while (*q != t) q = &(*q)->next_id;
    *q = t->next_id;
    if (t->pid) unlink_pid(t);
    if (t->destroying) ndestroying--;
    drop_children(t);
    disown_rows(t);
    ntasks--;
    t->garbage = garbage;
    garbage = t;
}
int is_live(const task *t) { return t->state == S_STARTING || t->state == S_RUNNING; }
int good_id(const char *s) {
    size_t n = strlen(s);
    if (!n || n > 255) return 0;
    for (; *s; s++) if (!isalnum((unsigned char)*s) && !strchr("._-", *s)) return 0;
    return 1;
}

child *find_child(pid_t pid) {
    child *c = children[(unsigned)pid % CHILD_BUCKETS];
    while (c && c->pid != pid) c = c->next;
    return c;
}
void learn_child(pid_t pid, task *owner, int unclear) {
    child *c = find_child(pid), **head = &children[(unsigned)pid % CHILD_BUCKETS];
    if (!c) {
        c = need(calloc(1, sizeof *c));
        c->pid = pid;
        c->next = *head;
        *head = c;
    }
    c->owner = owner;
    c->unclear = unclear;
}
void drop_child(pid_t pid) {
    child **q = &children[(unsigned)pid % CHILD_BUCKETS], *c;
    while (*q && (*q)->pid != pid) q = &(*q)->next;
    if (!(c = *q)) return;
    *q = c->next;
    free(c);
}
void doubt_strangers(void) { drop_children(NULL); }  /* they are looked at anew */
