/* Requests, one by one; see protocol.py for what each means. */
#include "zygote.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

u64 turns;
const char *socket_path;

void request(conn *c, char **f, size_t n) {
    u64 seq = n > 1 ? strtoull(f[1], NULL, 10) : 0;
    const char *k = n ? f[0] : "", *id = n > 2 ? f[2] : "";
    if (!strcmp(k, "LAUNCH") && n >= 15 && good_id(id)) {
        size_t argc = strtoul(f[14], NULL, 10), first = 15 + argc, m = 1;
        plan p = {f[2], f[3], f[4], f[5], f[6], f[7], f[8], f[9], f[10], f[11], f[12], f[13], NULL, NULL};
        if (argc < 1 || argc > n - 15) { answer(c, "REFUSED|%llu|LAUNCH has no argument vector", seq); return; }
        char own[sizeof MARKER + sizeof nonce + 256];
        snprintf(own, sizeof own, MARKER "%s:%s", nonce, id);
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
        answer(c, "STATS|%llu|launches|%llu|failures|%llu|live|%zu|known|%zu|destroying|%zu|journal_lines|%llu|journal_errors|%llu|passes|%llu|turns|%llu",
               seq, launches, failures, nlive, ntasks, ndestroying, journal_lines, journal_errors, passes, turns);
        return;
    }
    if (!strcmp(k, "SHUTDOWN")) {
        if (nlive && strcmp(id, "force")) { answer(c, "REFUSED|%llu|%zu tasks are still running", seq, nlive); return; }
        flush_journal();
        answer(c, "BYE|%llu", seq);
        send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL);
        leave();
        exit(0);
    }
    if (!good_id(id)) { answer(c, "REFUSED|%llu|the request is unknown, or its container id is not valid", seq); return; }
    task *t = find_id(id);
    if (!strcmp(k, "SIGNAL") && n >= 5) {
        answer(c, "SIGNALLED|%llu|%s|%d", seq, id, t ? signal_task(t, atoi(f[3]), f[4]) : 0);
    } else if (!strcmp(k, "DESTROY")) {
        if (!t) { t = add_task(id, S_LOST); t->ghost = 1; }
        begin_destroy(t, c, seq);
    } else if (!strcmp(k, "FORGET")) {
        if (t && (is_live(t) || t->state == S_ORPHANED)) { answer(c, "REFUSED|%llu|the container %s still runs", seq, id); return; }
        if (t && !t->ghost) { note("F %s\n", id); drop_task(t); }
        answer(c, "FORGOTTEN|%llu|%s", seq, id);
    } else if (!strcmp(k, "USAGE")) {
        want_usage(t, c, seq);
    } else answer(c, "REFUSED|%llu|the request is unknown or incomplete", seq);
}
