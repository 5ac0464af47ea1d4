/* What the parts of the launcher share: its tables, and who may call whom. */
#ifndef ZYGOTE_H
#define ZYGOTE_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define VERSION 1
#define MARKER "MESOS_TWISTED_CONTAINER="
#define MAX_FRAME (8u << 20)   /* a whole argv and environment fit: the kernel allows less */
#define MAX_UNREAD (64u << 20) /* a client that does not read is cut off here */
#define SPARE_FDS 16           /* kept for looking at /proc and writing the journal */
typedef unsigned long long u64;
typedef struct { char *p; size_t n, cap; } buf;
enum { S_STARTING, S_RUNNING, S_EXITED, S_FAILED, S_ORPHANED, S_LOST };
enum { T_FORK, T_SETSID, T_NICE, T_RLIMIT, T_GROUPS, T_GID, T_UID, T_PRIVS, T_CHDIR, T_STDIN,
       T_STDOUT, T_STDERR, T_EXEC };
enum { K_LISTEN, K_SIGNAL, K_CONN, K_PIPE };
typedef struct task {
    int kind, pipe;                          /* kind first: epoll points here */
    struct task *next_id, *next_pid, *garbage;
    pid_t pid;
    u64 start, utime, stime, maxrss;
    int state, status, stage;                /* status: wait status, or errno when failed */
    u64 conn, seq;                           /* who waits for LAUNCHED */
    u64 dconn, dseq;                         /* who waits for DESTROYED */
    int destroying, ghost, members, empties; /* empties: passes in a row that found nobody */
    char id[];
} task;
typedef struct conn { int kind, fd, dead, writing; u64 no; buf in, out; struct conn *next; } conn;
typedef struct { pid_t pid, ppid, pgrp, sid; int state, threads, stopped; long rss;
                 u64 start, ut, st, cut, cst; task *owner; } proc;
typedef struct { char *id, *file, *cwd, *out, *err, *uid, *gid, *groups, *umask, *nice, *rlimits, *flags;
                 char **argv, **envp; } plan;

extern const char *STATE[], *STAGE[];

/* zygote.c */
extern int ep, fd_limit, fd_freed, given;  /* given: the service manager listens for us */
extern pid_t self;
extern uid_t socket_owner;                 /* who may speak to us, beside root and our own user */
void leave(void);
void drop_fd(int fd);
u64 now_us(void);

/* table.c: tasks by id and by their leader's pid; children of ours that lead no task */
extern size_t nbuckets, ntasks, nlive, ndestroying;
extern task **by_id, *garbage;
#define EACH_TASK(t) for (size_t b_ = 0; b_ < nbuckets; b_++) for (task *t = by_id[b_], *nx_; t && (nx_ = t->next_id, 1); t = nx_)
void *need(void *p);
void put(buf *b, const void *p, size_t n);
void make_tables(void);
task *find_id(const char *id);
task *find_pid(pid_t pid);
void set_pid(task *t, pid_t pid);
task *add_task(const char *id, int state);
void drop_task(task *t);
int is_live(const task *t);
int good_id(const char *s);
typedef struct child { pid_t pid; int unclear; task *owner; struct child *next; } child;
child *find_child(pid_t pid);
void learn_child(pid_t pid, task *owner, int unclear);
void drop_child(pid_t pid);
void doubt_strangers(void);

/* journal.c */
extern u64 journal_lines, journal_errors;
extern int journal_torn;
extern char nonce[33];
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void note_task(task *t);
void flush_journal(void);
void compact_journal(void);
void load_journal(const char *path);

/* proc.c */
extern proc *now_p;
extern size_t now_n;
extern int use_all, pass;
int read_stat(pid_t pid, proc *p);
int gone(const proc *p);
int send_to(const proc *p, int sig);
void set_scope(void);
int snapshot(int stopping);
void disown_rows(task *t);
task *owner_of_child(const proc *p, int *unclear);

/* wire.c */
extern conn *conns;
conn *find_conn(u64 no);
void answer(conn *c, const char *fmt, ...);
void tell_launch(task *t, conn *c, u64 seq);
void tell_exit(task *t);
void feed(conn *c);
void drain_all(void);
int welcome(int lfd);

/* fork.c */
extern u64 launches, failures;
void guard_from_oom(void);
void launch(conn *c, u64 seq, plan *p);
void settle(task *t);
void reap(void);

/* kill.c */
extern u64 next_pass, passes;
void begin_destroy(task *t, conn *c, u64 seq);
void destroy_turn(void);
int signal_task(task *t, int sig, const char *scope);
void check_orphaned(void);

/* usage.c */
void want_usage(task *t, conn *c, u64 seq);
void answer_usage(void);

/* request.c */
extern u64 turns;
extern const char *socket_path;
void request(conn *c, char **f, size_t n);
#endif
