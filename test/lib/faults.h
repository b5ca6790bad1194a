#pragma once
/*
 * File calls that fail when a test wants. Include it in one .c file of a program: its definitions
 * stand before libc's. Calls are numbered from 1 while `faults.on`; the one numbered `fail_at`, and
 * with `fail_on` every one of that name from there on, fails with `code`. `after` sees each call
 * once it was made (a crash sweep ends the process there); `stops` sees it before, and may keep it
 * from being made.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "core/base.h"

static struct {
	bool on;
	int calls, fail_at, code;
	const char *fail_on; /* "pwrite": these only; NULL: any */
	size_t write_max;    /* bytes that a pwrite takes at most, 0 = all */
	uint64_t written;    /* by pwrite */
	unsigned syncs;	     /* fsync and fdatasync */
	bool limited;	     /* pwrite takes `space` more bytes, then the disk is full */
	size_t space;
	bool spare_sockets;			 /* names of sockets are no matter of the disk */
	void (*after)(const char *call, int fd); /* fd -1: a call on names */
	bool (*stops)(const char *call, int fd, const char *path);
} faults;

static bool faults_hit(const char *call)
{
	bool hit;

	if (!faults.on)
		return false;
	if (faults.fail_on && strcmp(call, faults.fail_on) != 0)
		return false;
	faults.calls++;
	hit = faults.fail_on ? faults.fail_at && faults.calls >= faults.fail_at
			     : faults.calls == faults.fail_at;
	if (hit)
		errno = faults.code;
	return hit;
}

static bool faults_stops(const char *call, int fd, const char *path)
{
	bool stops = faults.on && faults.stops && faults.stops(call, fd, path);

	if (stops)
		errno = EIO;
	return stops;
}

static long faults_done(const char *call, int fd, long r)
{
	int e = errno;

	if (faults.on && faults.after)
		faults.after(call, fd);
	errno = e;
	return r;
}

static bool faults_spared(const char *path)
{
	return faults.spare_sockets && strstr(path, ".sock");
}

/* From here on nothing fails; counters start anew. */
static inline void faults_off(void)
{
	memset(&faults, 0, sizeof(faults));
}

static inline void faults_fail(const char *call, int at, int code)
{
	faults_off();
	faults.on = true;
	faults.fail_on = call;
	faults.fail_at = at;
	faults.code = code;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	long r;

	if (faults_stops("pwrite", fd, NULL) || faults_hit("pwrite"))
		return -1;
	if (faults.write_max)
		n = MIN(n, faults.write_max);
	if (faults.limited && n && !faults.space) {
		errno = ENOSPC;
		return -1;
	}
	if (faults.limited)
		n = MIN(n, faults.space);
	r = syscall(SYS_pwrite64, fd, p, n, at);
	if (r > 0) {
		faults.written += (uint64_t)r;
		faults.space -= faults.limited ? (size_t)r : 0;
	}
	return faults_done("pwrite", fd, r);
}

static int sync_call(const char *call, long nr, int fd)
{
	faults.syncs++;
	if (faults_stops(call, fd, NULL) || faults_hit(call))
		return -1;
	return (int)faults_done(call, fd, syscall(nr, fd));
}

int fdatasync(int fd)
{
	return sync_call("fdatasync", SYS_fdatasync, fd);
}

int fsync(int fd)
{
	return sync_call("fsync", SYS_fsync, fd);
}

int ftruncate(int fd, off_t size)
{
	if (faults_stops("ftruncate", fd, NULL) || faults_hit("ftruncate"))
		return -1;
	return (int)faults_done("ftruncate", fd, syscall(SYS_ftruncate, fd, size));
}

int fallocate(int fd, int mode, off_t at, off_t n)
{
	if (faults_stops("fallocate", fd, NULL) || faults_hit("fallocate"))
		return -1;
	return (int)faults_done("fallocate", fd, syscall(SYS_fallocate, fd, mode, at, n));
}

int rename(const char *from, const char *to)
{
	if (faults_stops("rename", -1, from) || (!faults_spared(from) && faults_hit("rename")))
		return -1;
	return (int)faults_done("rename", -1,
				syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int unlink(const char *path)
{
	if (faults_stops("unlink", -1, path) || (!faults_spared(path) && faults_hit("unlink")))
		return -1;
	return (int)faults_done("unlink", -1, syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}
