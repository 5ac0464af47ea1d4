/* What the processes of each task use now. */
#include "zygote.h"
#include <stdlib.h>
#include <unistd.h>

typedef struct { task *t; u64 conn, seq, ut, st, rss, procs, threads; } want;
static want *wants;
static size_t nwants;

void want_usage(task *t, conn *c, u64 seq) {
    wants = need(realloc(wants, (nwants + 1) * sizeof *wants));
    wants[nwants++] = (want){.t = t, .conn = c->no, .seq = seq};
}
void answer_usage(void) {
    if (!nwants) return;
    long hz = sysconf(_SC_CLK_TCK), page = sysconf(_SC_PAGESIZE);
    set_scope();
    snapshot(0);
    for (size_t w = 0; w < nwants; w++) if (wants[w].t) wants[w].t->members = (int)w;
    for (size_t i = 0; i < now_n; i++) {
        proc *p = &now_p[i];
        want *w = p->owner && (size_t)p->owner->members < nwants ? &wants[p->owner->members] : NULL;
        if (!w || w->t != p->owner || gone(p)) continue;
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
