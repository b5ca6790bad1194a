#pragma once
/*
 * Files: whole reads with a limit, atomic replacement, folders. All synchronous and for local,
 * small files; what syncs to a disk belongs to the disk worker.
 */
#include "core/buf.h"
#include "core/err.h"

/*
 * Appends the whole file. -EFBIG above `max` or the buffer's cap, -ENOENT, ... On failure `out` is
 * as before. A fifo or a device without data reads as empty: nothing here waits for a peer.
 */
int fsx_read(const char *path, size_t max, struct buf *out) NODISCARD;
int fsx_read_at(int dirfd, const char *path, size_t max, struct buf *out) NODISCARD;
int fsx_read_fd(int fd, size_t max, struct buf *out) NODISCARD; /* from where it stands */
/*
 * Temporary name in the same folder, write, [fdatasync,] rename[, fsync folder]. Never torn. A
 * crash in between leaves the temporary file: fsx_is_temp() knows its name.
 */
enum { FSX_SYNC = 1 };
int fsx_replace(const char *path, struct sv content, unsigned mode, unsigned flags) NODISCARD;
/*
 * The first half of it: the content under a temporary name in the folder of `path`, which is told
 * in `temp`. Whoever asked renames or removes it.
 */
int fsx_stage(const char *path, struct sv content, unsigned mode, char *temp,
	      size_t size) NODISCARD;
bool fsx_is_temp(const char *name);			   /* a left-over: ".<16 hex>.tmp" */
int fsx_write_all(int fd, struct sv content) NODISCARD;	   /* EINTR and short writes handled */
int fsx_mkdirs(const char *path, unsigned mode) NODISCARD; /* all parents; present is fine */
int fsx_sync_dir(const char *path) NODISCARD;
int fsx_remove(const char *path) NODISCARD; /* absent is fine */
/* Copies a file by atomic replacement (a program into the plugin folder). */
int fsx_copy(const char *from, const char *to, unsigned mode) NODISCARD;
bool fsx_exists(const char *path);
/* Link target as a NUL-terminated string; -ENAMETOOLONG. */
int fsx_readlink(const char *path, char *out, size_t size) NODISCARD;
/*
 * Calls fn for each entry but "." and "..", in byte order; a non-zero answer ends and is returned.
 * fn may remove entries. -EFBIG above FSX_LIST_MAX entries: a folder that someone floods.
 */
enum { FSX_LIST_MAX = 65536 };
int fsx_list(const char *path, int (*fn)(void *arg, const char *name), void *arg) NODISCARD;
/* Trimmed first line of a small file such as sysfs attributes (max 4096). -EFBIG: does not fit. */
int fsx_line(const char *path, char *out, size_t size) NODISCARD;

/* The path names the file of this descriptor, and no other that took its place. */
bool fsx_names(const char *path, int fd);
/*
 * Takes the write lock of a lock file (made if absent, never removed: its inode is the lock)
 * without waiting. 0: *fd holds it until closed or until this process ends, children do not
 * inherit it; the path names what is locked, at this moment (fsx_names()). FSX_HELD: someone else
 * has it; ask again later. The lock belongs to the open file (OFD), so a second try in the same
 * process is refused too, and closing another descriptor of the file does not drop it.
 */
enum { FSX_HELD = 1 };
int fsx_lock(const char *path, int *fd) NODISCARD;
/* The same for a descriptor open for writing. */
int fsx_lock_fd(int fd) NODISCARD;
