#pragma once
/* A tar archive (POSIX ustar) of small regular files, written into memory. */
#include "core/buf.h"

enum { USTAR_BLOCK = 512, USTAR_NAME_MAX = 99 };

/*
 * One file, mode 0644, owner root. Bytes of the name that are not printable become '_'; a longer
 * name is cut. False: out is full; what did not fit is not there.
 */
bool ustar_put(struct buf *out, const char *name, struct sv content, uint64_t mtime_s);
bool ustar_end(struct buf *out);
/* How many bytes at the front are whole entries: what a writer that died left of a last one is cut
 * off. */
size_t ustar_whole(struct sv archive);
