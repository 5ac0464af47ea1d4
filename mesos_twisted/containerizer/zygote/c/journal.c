/* The journal: what the agent may still ask of a launcher started after this one died, and the nonce
 * by which that one knows the processes of this one. */
#include "zygote.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

u64 journal_lines, journal_errors;
int journal_torn;
char nonce[33];
static int journal = -1;
static const char *journal_path;
static buf jbuf;

void note(const char *fmt, ...) {
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    put(&jbuf, line, (size_t)n);
    journal_lines++;
}
void note_task(task *t) {
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
void flush_journal(void) {
    if (jbuf.n && write_journal(journal)) journal_torn = 1;  /* written anew, once there is room */
}
static void boot_id(char out[64]) {
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, out, 63);
    if (fd >= 0) close(fd);
    out[n < 0 ? 0 : n] = 0;
    out[strcspn(out, "\n")] = 0;
}
void compact_journal(void) {
    char tmp[PATH_MAX], boot[64];
    snprintf(tmp, sizeof tmp, "%s.new", journal_path);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) { journal_errors++; return; }
    jbuf.n = 0;  /* the tasks themselves say all of it */
    journal_lines = 0;
    boot_id(boot);
    note("B %s\nN %s\n", boot, nonce);
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
static void make_nonce(void) {
    unsigned char raw[16];
    if (getrandom(raw, sizeof raw, 0) != sizeof raw) abort();
    for (size_t i = 0; i < sizeof raw; i++) sprintf(nonce + 2 * i, "%02x", raw[i]);
}
void load_journal(const char *path) {
    journal_path = path;
    char line[512], id[256], boot[64], was[64] = "";
    FILE *f = fopen(journal_path, "re");
    proc p;
    boot_id(boot);
    while (f && fgets(line, sizeof line, f)) {
        int a, b;
        u64 x, y, z;
        task *t;
        if (!strchr(line, '\n')) break;  /* torn by a crash: the rest was never promised */
        if (sscanf(line, "B %63s", was) == 1 || sscanf(line, "N %32[0-9a-f]", nonce) == 1) continue;
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
    if (strlen(nonce) != 32) make_nonce();
    for (size_t i = 0; i < nbuckets; i++)
        for (task *t = by_id[i]; t; t = t->next_id)
            if (t->state == S_ORPHANED && (strcmp(boot, was) || !read_stat(t->pid, &p) || p.start != t->start || gone(&p))) {
                t->state = S_LOST;
                t->status = -1;
            }
    compact_journal();
}
