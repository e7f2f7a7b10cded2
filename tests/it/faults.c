// A disk that fails once: loaded before a process (LD_PRELOAD), it lets the n-th call of one kind on
// a file of one folder fail. The kind and n lie in a small file that the test and the process share.
//
// Environment: FAULTS_UNDER, the folder; FAULTS_CONTROL, the shared file of three 32-bit numbers:
// the kind (0: none), the calls until the failure, and whether it came.

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, LIST, READ, WRITE, RENAME, FSYNC };

struct control {
    volatile int kind, left, fired;
};

static struct control *control;
static const char *under;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS_CONTROL");
    under = getenv("FAULTS_UNDER");
    if (!path || !under) return;
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    int fd = real(path, O_RDWR);
    if (fd < 0) return;
    void *shared = mmap(0, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared != MAP_FAILED) control = shared;
    close(fd);
}

static int fails(int kind, const char *path) {
    if (!control || control->kind != kind || control->fired) return 0;
    if (strncmp(path, under, strlen(under))) return 0;
    if (__sync_sub_and_fetch(&control->left, 1) != 0) return 0;
    control->fired = 1;
    return 1;
}

static int fails_fd(int kind, int fd) {
    if (!control || control->kind != kind || control->fired) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return fails(kind, path);
}

#define REAL(type, name, ...) type (*real)(__VA_ARGS__) = dlsym(RTLD_NEXT, #name)

#define OPENS(name)                                                  \
    int name(const char *path, int flags, ...) {                     \
        REAL(int, name, const char *, int, ...);                     \
        va_list more;                                                \
        va_start(more, flags);                                       \
        mode_t mode = va_arg(more, mode_t);                          \
        va_end(more);                                                \
        if (fails(OPEN, path)) return errno = EMFILE, -1;            \
        return real(path, flags, mode);                              \
    }
OPENS(open)
OPENS(open64)

DIR *opendir(const char *path) {
    REAL(DIR *, opendir, const char *);
    if (fails(LIST, path)) return errno = EMFILE, NULL;
    return real(path);
}

struct dirent64 *readdir64(DIR *dir) {
    REAL(struct dirent64 *, readdir64, DIR *);
    if (fails_fd(LIST, dirfd(dir))) return errno = EIO, NULL;
    return real(dir);
}

ssize_t read(int fd, void *bytes, size_t n) {
    REAL(ssize_t, read, int, void *, size_t);
    if (fails_fd(READ, fd)) return errno = EIO, -1;
    return real(fd, bytes, n);
}

ssize_t write(int fd, const void *bytes, size_t n) {
    REAL(ssize_t, write, int, const void *, size_t);
    if (fails_fd(WRITE, fd)) return errno = ENOSPC, -1;
    return real(fd, bytes, n);
}

ssize_t writev(int fd, const struct iovec *parts, int n) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    if (fails_fd(WRITE, fd)) return errno = ENOSPC, -1;
    return real(fd, parts, n);
}

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    if (fails(RENAME, from)) return errno = EIO, -1;
    return real(from, to);
}

int fsync(int fd) {
    REAL(int, fsync, int);
    if (fails_fd(FSYNC, fd)) return errno = EIO, -1;
    return real(fd);
}

int fdatasync(int fd) {
    REAL(int, fdatasync, int);
    if (fails_fd(FSYNC, fd)) return errno = EIO, -1;
    return real(fd);
}
