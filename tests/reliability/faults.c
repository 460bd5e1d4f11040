/* A layer between a process and its file system, by LD_PRELOAD: it counts what is written under a folder, and at the
   n-th operation it fails with an error of the system, as a full disk does, or kills the process. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char target[PATH_MAX];
static size_t target_length;
static long fails_at;   /* 0: none */
static int fault;       /* errno, or 0: SIGKILL */
static int stays;       /* all later ones fail, too, but for removals */
static atomic_long operations;

void faults_arm(const char *folder, long n, int number, int stay) {
    target_length = strlen(folder);
    memcpy(target, folder, target_length + 1);
    fails_at = n;
    fault = number;
    stays = stay;
    atomic_store(&operations, 0);
}

long faults_count(void) { return atomic_load(&operations); }

static int under(const char *path) {
    return strncmp(path, target, target_length) == 0 && (path[target_length] == '/' || path[target_length] == 0);
}

static int path_under(int folder, const char *path) {
    char joined[2 * PATH_MAX], base[PATH_MAX], link[64];
    ssize_t length;
    if (!target_length || !path) return 0;
    if (path[0] == '/') return under(path);
    if (folder == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return 0;
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        if ((length = readlink(link, base, sizeof base - 1)) < 0) return 0;
        base[length] = 0;
    }
    snprintf(joined, sizeof joined, "%s/%s", base, path);
    return under(joined);
}

static int handle_under(int handle) {
    char link[64], path[PATH_MAX];
    ssize_t length;
    if (!target_length) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    if ((length = readlink(link, path, sizeof path - 1)) < 0) return 0;
    path[length] = 0;
    return under(path);
}

/* Whether this operation fails. Removals need no space: they are counted, as moments to be killed at. */
static int failing(int removes) {
    long number = atomic_fetch_add(&operations, 1) + 1;
    if (!fails_at || number < fails_at || (number > fails_at && !stays)) return 0;
    if (!fault) kill(getpid(), SIGKILL);
    if (removes) return 0;
    errno = fault;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }
#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT))

int open(const char *path, int flags, ...) {
    MODE(flags)
    return WRITES(flags) && path_under(AT_FDCWD, path) && failing(0) ? -1 : REAL(open)(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE(flags)
    return WRITES(flags) && path_under(AT_FDCWD, path) && failing(0) ? -1 : REAL(open64)(path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
    MODE(flags)
    return WRITES(flags) && path_under(folder, path) && failing(0) ? -1 : REAL(openat)(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags)
    return WRITES(flags) && path_under(folder, path) && failing(0) ? -1 : REAL(openat64)(folder, path, flags, mode);
}
ssize_t write(int handle, const void *content, size_t size) {
    return handle_under(handle) && failing(0) ? -1 : REAL(write)(handle, content, size);
}
ssize_t pwrite64(int handle, const void *content, size_t size, off64_t at) {
    return handle_under(handle) && failing(0) ? -1 : REAL(pwrite64)(handle, content, size, at);
}
ssize_t writev(int handle, const struct iovec *parts, int count) {
    return handle_under(handle) && failing(0) ? -1 : REAL(writev)(handle, parts, count);
}
int fsync(int handle) { return handle_under(handle) && failing(0) ? -1 : REAL(fsync)(handle); }
int mkdir(const char *path, mode_t mode) {
    return path_under(AT_FDCWD, path) && failing(0) ? -1 : REAL(mkdir)(path, mode);
}
int mkdirat(int folder, const char *path, mode_t mode) {
    return path_under(folder, path) && failing(0) ? -1 : REAL(mkdirat)(folder, path, mode);
}
int rename(const char *from, const char *to) {
    return path_under(AT_FDCWD, to) && failing(0) ? -1 : REAL(rename)(from, to);
}
int renameat(int old, const char *from, int folder, const char *to) {
    return path_under(folder, to) && failing(0) ? -1 : REAL(renameat)(old, from, folder, to);
}
int unlink(const char *path) {
    if (path_under(AT_FDCWD, path)) failing(1);
    return REAL(unlink)(path);
}
int unlinkat(int folder, const char *path, int flags) {
    if (path_under(folder, path)) failing(1);
    return REAL(unlinkat)(folder, path, flags);
}
int rmdir(const char *path) {
    if (path_under(AT_FDCWD, path)) failing(1);
    return REAL(rmdir)(path);
}
