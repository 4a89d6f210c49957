/* Preloaded into a run: counts the calls that change anything below one folder, and ends the
 * process group, or makes calls fail, at the one that is asked for. It does nothing until
 * `torture_arm`. It can also set the clock that the process sees. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { COUNT = 0, KILL = 1, FULL = 2 };
#define MOST_FILES 65536

static char root[PATH_MAX];
static size_t root_length;
static int mode, at, journal = -1;
static long clock_offset;
static atomic_int calls;
static atomic_char ours[MOST_FILES]; /* descriptors open for writing below the folder */

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

void torture_arm(const char *folder, int what, int nth, int log_to) {
    strncpy(root, folder, sizeof root - 1);
    root_length = strlen(root);
    mode = what, at = nth, journal = log_to;
}
void torture_clock(long seconds) { clock_offset = seconds; }
int torture_calls(void) { return calls; }

static int concerns(int directory, const char *path) {
    char whole[PATH_MAX], link[64];
    if (!root_length || !path) return 0;
    if (path[0] != '/' && directory != AT_FDCWD) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        ssize_t length = readlink(link, whole, sizeof whole - 1);
        if (length < 0) return 0;
        whole[length] = 0;
        path = whole;
    }
    return !strncmp(path, root, root_length) && (!path[root_length] || path[root_length] == '/');
}

/* One more change is about to be made. Returns 1 if it must fail. */
static int change(const char *what, const char *path, int needs_space) {
    int number = ++calls;
    if (journal >= 0) dprintf(journal, "%d %s %s\n", number, what, path ? path : "");
    if (mode == KILL && number > at) {
        kill(0, SIGKILL);
        pause();
    }
    if (mode == FULL && number > at && needs_space) {
        errno = ENOSPC;
        return 1;
    }
    return 0;
}

static int opened(int descriptor, int flags, int concerned) {
    if (descriptor >= 0 && descriptor < MOST_FILES)
        ours[descriptor] = concerned && (flags & O_ACCMODE) != O_RDONLY;
    return descriptor;
}

#define OPEN(name, type_of_directory, directory, arguments, pass) \
    int name arguments { \
        REAL(name); \
        unsigned permissions = 0; \
        if (flags & (O_CREAT | O_TMPFILE)) { \
            va_list rest; \
            va_start(rest, flags); \
            permissions = va_arg(rest, unsigned); \
            va_end(rest); \
        } \
        int concerned = concerns(directory, path); \
        if (concerned && (flags & O_CREAT) && change("create", path, 1)) return -1; \
        return opened(real pass, flags, concerned); \
    }
OPEN(open, , AT_FDCWD, (const char *path, int flags, ...), (path, flags, permissions))
OPEN(open64, , AT_FDCWD, (const char *path, int flags, ...), (path, flags, permissions))
OPEN(openat, , dir, (int dir, const char *path, int flags, ...), (dir, path, flags, permissions))
OPEN(openat64, , dir, (int dir, const char *path, int flags, ...), (dir, path, flags, permissions))

int close(int descriptor) {
    REAL(close);
    if (descriptor >= 0 && descriptor < MOST_FILES) ours[descriptor] = 0;
    return real(descriptor);
}

#define WRITE(name, arguments, pass) \
    ssize_t name arguments { \
        REAL(name); \
        if (fd >= 0 && fd < MOST_FILES && ours[fd] && change("write", 0, 1)) return -1; \
        return real pass; \
    }
WRITE(write, (int fd, const void *data, size_t size), (fd, data, size))
WRITE(pwrite, (int fd, const void *data, size_t size, off_t to), (fd, data, size, to))
WRITE(pwrite64, (int fd, const void *data, size_t size, off64_t to), (fd, data, size, to))

#define CHANGE(name, directory, path, space, arguments, pass) \
    int name arguments { \
        REAL(name); \
        if (concerns(directory, path) && change(#name, path, space)) return -1; \
        return real pass; \
    }
CHANGE(rename, AT_FDCWD, to, 0, (const char *from, const char *to), (from, to))
CHANGE(renameat, d, to, 0, (int f, const char *from, int d, const char *to), (f, from, d, to))
CHANGE(link, AT_FDCWD, to, 1, (const char *from, const char *to), (from, to))
CHANGE(linkat, d, to, 1, (int f, const char *from, int d, const char *to, int flags),
       (f, from, d, to, flags))
CHANGE(unlink, AT_FDCWD, path, 0, (const char *path), (path))
CHANGE(unlinkat, d, path, 0, (int d, const char *path, int flags), (d, path, flags))
CHANGE(mkdir, AT_FDCWD, path, 1, (const char *path, mode_t m), (path, m))
CHANGE(mkdirat, d, path, 1, (int d, const char *path, mode_t m), (d, path, m))
CHANGE(rmdir, AT_FDCWD, path, 0, (const char *path), (path))

int ftruncate(int fd, off_t size) {
    REAL(ftruncate);
    if (fd >= 0 && fd < MOST_FILES && ours[fd] && change("ftruncate", 0, 0)) return -1;
    return real(fd, size);
}
int ftruncate64(int fd, off64_t size) {
    REAL(ftruncate64);
    if (fd >= 0 && fd < MOST_FILES && ours[fd] && change("ftruncate", 0, 0)) return -1;
    return real(fd, size);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(clock_gettime);
    int answer = real(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += clock_offset;
    return answer;
}
