/* The launcher: one small process per agent that starts tasks, reaps them and remembers how they
 * ended, so that tasks and their exit statuses outlive the agent. It knows nothing of resources,
 * frameworks or containers beyond an id. The conversation is described in protocol.py; zygote.py
 * speaks the same and passes the same suite. Linux, libc only, one thread, one epoll loop. */
#include "zygote.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
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
#include <time.h>
#include <unistd.h>

const char *STATE[] = {"starting", "running", "exited", "failed", "orphaned", "lost"};
const char *STAGE[] = {"fork", "setsid", "nice", "rlimit", "setgroups", "setgid", "setuid",
                       "no_new_privs", "chdir", "stdin", "stdout", "stderr", "exec"};
int ep, fd_limit, fd_freed, given;
pid_t self;
uid_t socket_owner;

void leave(void) { if (!given) unlink(socket_path); }  /* a given socket starts the next of us */

void drop_fd(int fd) {  /* a child that has not exec'ed yet keeps it open: epoll must be told */
    epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL);
    close(fd);
    fd_freed = 1;
}
u64 now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * 1000000 + (u64)t.tv_nsec / 1000;
}
static u64 now_ms(void) { return now_us() / 1000; }
static void stop(const char *what) { fprintf(stderr, "zygote: %s: %s\n", what, strerror(errno)); exit(1); }

/* Who was just killed may hold its lock for a moment, with a socket that still takes connections: only
   an answer tells that somebody serves, or, of one that is busy, that the connection lasts. */
static int is_served(const char *path) {
    static const char ping[] = "\0\0\0\7PING\0001";
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    strcpy(addr.sun_path, path);
    int served = 0;
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr)) served = errno == EAGAIN;
    else if (send(fd, ping, sizeof ping, MSG_NOSIGNAL) == sizeof ping) {
        struct pollfd answer = {.fd = fd, .events = POLLIN};
        char byte;
        served = !poll(&answer, 1, 2000) || recv(fd, &byte, 1, 0) == 1;
    }
    close(fd);
    return served;
}
static int lock_of(const char *path, int given) {  /* -1: another one already serves this socket */
    char lock[PATH_MAX];
    snprintf(lock, sizeof lock, "%s.lock", path);
    int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) stop(lock);
    for (int i = 0; i < 200; i++) {
        if (!flock(fd, LOCK_EX | LOCK_NB)) return fd;
        if (!given && is_served(path)) return -1;  /* a given socket takes connections for nobody */
        usleep(10000);
    }
    return -1;
}
static int listen_at(const char *path) {
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    strcpy(addr.sun_path, path);
    unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr) || listen(fd, 64)) stop(path);
    return fd;
}
/* The socket that systemd listens on for us (sd_listen_fds(3)), or -1. Its owner, who may be another
   user than ours, is whom it was made for. */
static int given_socket(void) {
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    if (!pid || !count || atol(pid) != getpid()) return -1;
    struct sockaddr_un addr = {0};
    struct stat st;
    socklen_t len = sizeof addr - 1, size = sizeof (int);
    int listens = 0;
    if (atoi(count) != 1 || getsockopt(3, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) || !listens
        || getsockname(3, (struct sockaddr *)&addr, &len) || addr.sun_family != AF_UNIX) {
        fputs("zygote: the service manager must pass one listening Unix socket\n", stderr);
        exit(1);
    }
    if (*addr.sun_path && !lstat(addr.sun_path, &st) && S_ISSOCK(st.st_mode)) socket_owner = st.st_uid;
    fcntl(3, F_SETFD, FD_CLOEXEC);
    fcntl(3, F_SETFL, O_NONBLOCK);
    return 3;
}
static void become_background(void) {
    pid_t pid = fork();
    if (pid < 0) stop("fork");
    if (pid) _exit(0);  /* listening: whoever started us may connect */
    setsid();
    int null = open("/dev/null", O_RDWR);
    for (int i = 0; i < 3; i++) dup2(null, i);
    if (null > 2) close(null);
}
static void settle_in(void) {
    self = getpid();
    if (chdir("/")) stop("/");
    guard_from_oom();
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);  /* environments pass through here: no core, no ptrace */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
}
static int child_signals(void) {
    sigset_t chld;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_SETMASK, &chld, NULL);
    return signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
}
static int watch(int fd, void *what) {
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = what};
    return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
}
int main(int argc, char **argv) {
    if (argc != 4) { fputs("usage: zygote SOCKET JOURNAL IDLE_SECONDS\n", stderr); return 2; }
    u64 idle_ms = strtoull(argv[3], NULL, 10) * 1000;
    if (strlen(argv[1]) >= sizeof ((struct sockaddr_un *)0)->sun_path) { fputs("zygote: the socket's path is longer than 107 characters\n", stderr); return 2; }
    socket_path = argv[1];
    umask(077);
    socket_owner = geteuid();
    int lfd = given_socket();
    given = lfd >= 0;
    for (const char **v = (const char *[]){"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", NULL}; *v; v++) unsetenv(*v);
#ifdef SYS_close_range
    syscall(SYS_close_range, given ? 4 : 3, ~0u, 0);
#endif
    struct rlimit files = {.rlim_cur = 1024};
    getrlimit(RLIMIT_NOFILE, &files);
    fd_limit = files.rlim_cur < INT_MAX ? (int)files.rlim_cur : INT_MAX;
    if (lock_of(argv[1], given) < 0) {
        if (!given) return 0;
        fprintf(stderr, "zygote: another launcher holds %s.lock: end its tasks, or let it be\n", argv[1]);
        return 1;
    }
    make_tables();
    if (!given) {
        lfd = listen_at(argv[1]);
        become_background();
    }
    settle_in();
    int sfd = child_signals(), lk = K_LISTEN, sk = K_SIGNAL, listening = 1;
    struct epoll_event got[256];
    ep = epoll_create1(EPOLL_CLOEXEC);
    if (sfd < 0 || ep < 0 || watch(lfd, &lk) || watch(sfd, &sk)) return 1;
    load_journal(argv[2]);
    u64 alone_since = now_ms(), ticked = 0;
    for (;;) {
        u64 due = ndestroying ? now_us() : 0;
        int wait = !ndestroying ? 1000 : next_pass > due ? (int)((next_pass - due) / 1000) + 1 : 0;
        int n = epoll_wait(ep, got, 256, wait);
        turns++;
        for (int i = 0; i < n; i++) switch (*(int *)got[i].data.ptr) {
            case K_LISTEN:
                if (welcome(lfd)) break;
                epoll_ctl(ep, EPOLL_CTL_DEL, lfd, NULL);  /* else it would be told of for ever */
                listening = fd_freed = 0;
                break;
            case K_SIGNAL: { struct signalfd_siginfo si[16]; while (read(sfd, si, sizeof si) > 0) {} reap(); break; }
            case K_CONN: if (!((conn *)got[i].data.ptr)->dead && got[i].events & ~(uint32_t)EPOLLOUT) feed(got[i].data.ptr); break;
            case K_PIPE: settle(got[i].data.ptr); break;
        }
        answer_usage();
        if (ndestroying) {
            reap();
            destroy_turn();
        }
        u64 now = now_ms();
        if (now - ticked >= 1000) {
            ticked = now;
            check_orphaned();
            if (journal_torn) compact_journal();
            fd_freed = 1;  /* of the whole host's descriptors, one may be free again */
        }
        if (journal_lines > 20000 + 4 * ntasks) compact_journal();
        flush_journal();  /* before the answers: what the agent hears is already written */
        drain_all();
        if (!listening && fd_freed) listening = !watch(lfd, &lk);
        for (task *t; (t = garbage); free(t)) garbage = t->garbage;
        if (conns || nlive || ndestroying) alone_since = now;
        else if (now - alone_since >= idle_ms) { leave(); return 0; }
    }
}
