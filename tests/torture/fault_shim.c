/* Makes the system fail: preloaded into a process, it counts calls that touch one directory and fails some of them.
 *
 * A call counts if its path, or the path of its descriptor, is in the directory or below it. Of the kinds that are armed
 * the calls from number `at` on, `times` of them, return -1 with `error`; if `only_while` names a file, only while that
 * is there. They are armed by fault_arm(), or when the process starts, by FAULT_BELOW and the variables beside it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { OPEN, READ, WRITE, FSYNC, UNLINK, RENAME, MKDIR, TRUNCATE, KINDS };

static char below[PATH_MAX], only_while[PATH_MAX], first_place[2 * PATH_MAX], unflushed[2 * PATH_MAX];
static size_t below_length;
static unsigned armed;
static long at, times, of_armed, seen[KINDS];
static int error_number;

#define REAL(result, name, ...) \
    static result (*real_##name)(__VA_ARGS__); \
    if (!real_##name) real_##name = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

void fault_arm(const char *directory, unsigned kinds, long first, long count, int error, const char *file)
{
    snprintf(only_while, sizeof only_while, "%s", file);
    snprintf(below, sizeof below, "%s", directory);
    below_length = strlen(below);
    armed = kinds, at = first, times = count, error_number = error;
}

/* How many calls of this kind there were, of those that touch the directory. */
long fault_seen(int kind) { return seen[kind]; }

/* The first call that failed, and on what; empty if none did. */
const char *fault_place(void) { return first_place; }

/* What a flush failed of that was not made again; empty if there is nothing. */
const char *fault_unflushed(void) { return unflushed; }

__attribute__((constructor)) static void arm_from_environment(void)
{
    const char *directory = getenv("FAULT_BELOW");
    if (directory)
        fault_arm(directory, 1u << atoi(getenv("FAULT_KIND")), 1, LONG_MAX, atoi(getenv("FAULT_ERROR")),
                  getenv("FAULT_WHILE"));
}

static int is_below(const char *path)
{
    return !strncmp(path, below, below_length) && (path[below_length] == '/' || !path[below_length]);
}

static int fails(enum kind kind, const char *name, const char *place)
{
    if (!is_below(place)) return 0;
    __atomic_add_fetch(&seen[kind], 1, __ATOMIC_SEQ_CST);
    if (kind == FSYNC && !strcmp(unflushed, place)) unflushed[0] = 0;
    if (!(armed & 1u << kind)) return 0;
    long number = __atomic_add_fetch(&of_armed, 1, __ATOMIC_SEQ_CST);
    if (at <= 0 || number < at || number - at >= times || (only_while[0] && access(only_while, F_OK))) return 0;
    if (!first_place[0]) snprintf(first_place, sizeof first_place, "%s %s", name, place);
    if (kind == FSYNC) snprintf(unflushed, sizeof unflushed, "%s", place);
    errno = error_number;
    return 1;
}

/* The path that a descriptor was opened by; the current directory for AT_FDCWD. */
static int path_of(int descriptor, char *path)
{
    char link[64];
    if (descriptor == AT_FDCWD) return getcwd(path, PATH_MAX) != NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}

static int fails_on(enum kind kind, const char *name, int descriptor)
{
    char place[PATH_MAX];
    if (!below_length) return 0;
    int before = errno, known = path_of(descriptor, place);
    errno = before;
    return known && fails(kind, name, place);
}

static int fails_at(enum kind kind, const char *name, int directory, const char *path)
{
    char folder[PATH_MAX], place[2 * PATH_MAX];
    if (!below_length) return 0;
    int before = errno;
    if (path[0] == '/') snprintf(place, sizeof place, "%s", path);
    else if (path_of(directory, folder)) snprintf(place, sizeof place, "%s/%s", folder, path);
    else place[0] = 0;
    errno = before;
    return fails(kind, name, place);
}

static mode_t mode_of(int flags, va_list arguments)
{
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

#define OPENING(name) \
    int name(const char *path, int flags, ...) \
    { \
        REAL(int, name, const char *, int, ...); \
        va_list arguments; \
        va_start(arguments, flags); \
        mode_t mode = mode_of(flags, arguments); \
        va_end(arguments); \
        return fails_at(OPEN, "open", AT_FDCWD, path) ? -1 : real_##name(path, flags, mode); \
    }
OPENING(open)
OPENING(open64)

#define OPENING_AT(name) \
    int name(int directory, const char *path, int flags, ...) \
    { \
        REAL(int, name, int, const char *, int, ...); \
        va_list arguments; \
        va_start(arguments, flags); \
        mode_t mode = mode_of(flags, arguments); \
        va_end(arguments); \
        return fails_at(OPEN, "open", directory, path) ? -1 : real_##name(directory, path, flags, mode); \
    }
OPENING_AT(openat)
OPENING_AT(openat64)

/* A call on a descriptor, whatever else it takes. */
#define ON(kind, label, result, name, parameters, ...) \
    result name parameters \
    { \
        static result(*real) parameters; \
        if (!real) real = (result(*) parameters)dlsym(RTLD_NEXT, #name); \
        return fails_on(kind, label, descriptor) ? -1 : real(__VA_ARGS__); \
    }
ON(READ, "read", ssize_t, read, (int descriptor, void *data, size_t size), descriptor, data, size)
ON(READ, "read", ssize_t, pread, (int descriptor, void *data, size_t size, off_t offset), descriptor, data, size, offset)
ON(READ, "read", ssize_t, pread64, (int descriptor, void *data, size_t size, off64_t offset), descriptor, data, size, offset)
ON(WRITE, "write", ssize_t, write, (int descriptor, const void *data, size_t size), descriptor, data, size)
ON(WRITE, "write", ssize_t, pwrite, (int descriptor, const void *data, size_t size, off_t offset), descriptor, data, size, offset)
ON(WRITE, "write", ssize_t, pwrite64, (int descriptor, const void *data, size_t size, off64_t offset), descriptor, data, size, offset)
ON(WRITE, "write", ssize_t, writev, (int descriptor, const struct iovec *parts, int count), descriptor, parts, count)
ON(FSYNC, "fsync", int, fsync, (int descriptor), descriptor)
ON(FSYNC, "fdatasync", int, fdatasync, (int descriptor), descriptor)
ON(TRUNCATE, "ftruncate", int, ftruncate, (int descriptor, off_t size), descriptor, size)
ON(TRUNCATE, "ftruncate", int, ftruncate64, (int descriptor, off64_t size), descriptor, size)

/* A call on a path, or on a path below an open directory. */
#define AT(kind, label, name, parameters, directory, path, ...) \
    int name parameters \
    { \
        static int(*real) parameters; \
        if (!real) real = (int(*) parameters)dlsym(RTLD_NEXT, #name); \
        return fails_at(kind, label, directory, path) ? -1 : real(__VA_ARGS__); \
    }
AT(UNLINK, "unlink", unlink, (const char *path), AT_FDCWD, path, path)
AT(UNLINK, "unlink", unlinkat, (int directory, const char *path, int flags), directory, path, directory, path, flags)
AT(RENAME, "rename", rename, (const char *from, const char *to), AT_FDCWD, to, from, to)
AT(RENAME, "rename", renameat, (int below_from, const char *from, int below_to, const char *to), below_to, to, below_from, from, below_to, to)
AT(RENAME, "rename", renameat2, (int below_from, const char *from, int below_to, const char *to, unsigned flags), below_to, to, below_from, from, below_to, to, flags)
AT(MKDIR, "mkdir", mkdir, (const char *path, mode_t mode), AT_FDCWD, path, path, mode)
AT(MKDIR, "mkdir", mkdirat, (int directory, const char *path, mode_t mode), directory, path, directory, path, mode)
