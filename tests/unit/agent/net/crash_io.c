/* Kills its process at the n-th change of a regular file: before it, in its middle, or after it.
 *
 * Loaded before libc; `crash_arm(n, how)` begins to count (how: 0 before, 1 torn, 2 after), and
 * `crash_left()` tells how many changes were left when the process came to its end by itself. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static long left = -1;
static int how;

void crash_arm(long at, int kind) { left = at; how = kind; }
long crash_left(void) { return left; }

static int regular(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

/* 1: this call is the one; the caller ends the process after what it does. */
static int strike(void) {
    if (left < 0 || left-- > 0) return 0;
    if (how == 0) _exit(77);
    return 1;
}

#define REAL(name, type) static type real; if (!real) real = (type)dlsym(RTLD_NEXT, #name)

typedef ssize_t (*write_t)(int, const void *, size_t);
typedef ssize_t (*pwrite_t)(int, const void *, size_t, off_t);
typedef int (*fd_t)(int);
typedef int (*truncate_t)(int, off_t);
typedef int (*path_t)(const char *);
typedef int (*paths_t)(const char *, const char *);

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write, write_t);
    if (!regular(fd) || !strike()) return real(fd, data, size);
    real(fd, data, how == 1 ? size / 2 : size);
    _exit(77);
}

#define PWRITE(name)                                                           \
    ssize_t name(int fd, const void *data, size_t size, off_t at) {            \
        REAL(name, pwrite_t);                                                  \
        if (!regular(fd) || !strike()) return real(fd, data, size, at);        \
        real(fd, data, how == 1 ? size / 2 : size, at);                        \
        _exit(77);                                                             \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define ON_FD(name)                                                            \
    int name(int fd) {                                                         \
        REAL(name, fd_t);                                                      \
        int last = strike(), result = real(fd);                                \
        if (last) _exit(77);                                                   \
        return result;                                                         \
    }
ON_FD(fsync)
ON_FD(fdatasync)

#define TRUNCATE(name)                                                         \
    int name(int fd, off_t size) {                                             \
        REAL(name, truncate_t);                                                \
        int last = strike(), result = real(fd, size);                          \
        if (last) _exit(77);                                                   \
        return result;                                                         \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

int unlink(const char *path) {
    REAL(unlink, path_t);
    int last = strike(), result = real(path);
    if (last) _exit(77);
    return result;
}

int rename(const char *from, const char *to) {
    REAL(rename, paths_t);
    int last = strike(), result = real(from, to);
    if (last) _exit(77);
    return result;
}
