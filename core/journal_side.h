#pragma once
/*
 * A new journal file while it is written under its temporary name, and the blocking file calls that
 * the disk worker shares with it. All return 0 or -errno.
 */
#include "core/journal_format.h"

struct journal_side {
	int fd; /* -1: none; holds an OFD lock on the file */
	uint64_t size;
};

/* Removes a left-over; -EAGAIN while whoever made it may still write to it. */
int journal_side_clear(const char *name) NODISCARD;
/* Makes the file, with its header line. */
int journal_side_make(struct journal_side *s, const char *name, const char *boot_id) NODISCARD;
int journal_side_write(struct journal_side *s, struct sv bytes) NODISCARD;
/* Syncs it and lets it replace `path`. Negative: `path` is as it was. JOURNAL_SIDE_UNSURE: it was
 * replaced, but the folder could not be synced, so a crash may bring the old one back. */
enum { JOURNAL_SIDE_UNSURE = 1 };
int journal_side_publish(struct journal_side *s, const char *name, const char *path,
			 const char *folder) NODISCARD;
void journal_side_drop(struct journal_side *s, const char *name); /* removes it */

int journal_write_at(int fd, uint64_t at, struct sv bytes) NODISCARD;
int journal_read_at(int fd, uint64_t at, size_t size, struct buf *out) NODISCARD; /* all or -EIO */
/* Blocks for [from, to) without changing the file's size; -EOPNOTSUPP. */
int journal_allocate(int fd, uint64_t from, uint64_t to) NODISCARD;
