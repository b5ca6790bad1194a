#pragma once
/*
 * /etc/ld.so.conf and what it includes: the folders that ldconfig would search, in its order.
 * ldconf_text() is the parser (no I/O); ldconf_read() follows the includes inside a root.
 *
 * As in ldconfig: '#' ends a line, "include" takes patterns, "hwcap" lines are passed over, a
 * line "/dir=TYPE" is "/dir". Wildcards work in the last component of a pattern.
 */
#include "tools/hook/paths.h"
#include "tools/hook/root.h"

enum {
	LDCONF_FILE_MAX = 256 * 1024, /* distributions' files have a few lines */
	LDCONF_FILES_MAX = 512,
	LDCONF_NEST_MAX = 8,
};

struct ldconf_sink {
	void *arg;
	int (*dir)(void *arg, const char *path);
	int (*include)(void *arg, const char *pattern);
};

/* Cuts up `text` (NUL-terminated, changed) and calls back per item; stops at the first non-zero. */
int ldconf_text(char *text, const struct ldconf_sink *sink) NODISCARD;

/*
 * Adds the folders named by `path` and by what it includes to `dirs`, except those named in the
 * file `skip` (NULL: none). `files` gets the path of each file that was read, skipped one included.
 * What a container got wrong (loops, FIFOs, huge files, too many) is warned about and passed over.
 */
int ldconf_read(const struct root *root, const char *path, const char *skip, struct paths *dirs,
		struct paths *files, struct why *why) NODISCARD;

/* A shell pattern (*, ?, [a-z], [!a], \c) against one name; a leading dot is matched by a dot only.
 */
bool ldconf_match(const char *pattern, const char *name);
