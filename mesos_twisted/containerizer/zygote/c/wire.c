/* Connections: frames in, answers out. */
#include "zygote.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

conn *conns;
static u64 next_conn = 1;

conn *find_conn(u64 no) {
    conn *c = conns;
    while (c && c->no != no) c = c->next;
    return c && !c->dead ? c : NULL;
}
void answer(conn *c, const char *fmt, ...) {  /* '|' in fmt separates fields */
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
void tell_launch(task *t, conn *c, u64 seq) {
    if (t->state == S_FAILED) answer(c, "FAILED|%llu|%s|%d|%s", seq, t->id, t->status, STAGE[t->stage]);
    else answer(c, "LAUNCHED|%llu|%s|%d|%llu", seq, t->id, t->pid, t->start);
}
void tell_exit(task *t) {
    for (conn *c = conns; c; c = c->next)
        answer(c, "EXITED|0|%s|%d|%llu|%llu|%llu", t->id, t->status, t->utime, t->stime, t->maxrss);
}
void feed(conn *c) {
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
int welcome(int lfd) {  /* 0: no descriptor is left, so that the next must wait until one is */
    struct ucred who;
    socklen_t len = sizeof who;
    int fd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) return errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS;
    if (fd >= fd_limit - SPARE_FDS) { close(fd); return 0; }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) || (who.uid != 0 && who.uid != geteuid() && who.uid != socket_owner)) { close(fd); return 1; }
    conn *c = need(calloc(1, sizeof *c));
    *c = (conn){.kind = K_CONN, .fd = fd, .no = next_conn++, .next = conns};
    conns = c;
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev)) c->dead = 1;
    return 1;
}
void drain_all(void) {  /* what is said goes out; who is gone is freed */
    for (conn **q = &conns, *c; (c = *q);) {
        if (!c->dead && c->out.n) drain(c);
        if (!c->dead) { q = &c->next; continue; }
        *q = c->next;
        drop_fd(c->fd);
        free(c->in.p);
        free(c->out.p);
        free(c);
    }
}
