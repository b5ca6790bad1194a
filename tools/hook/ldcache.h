#pragma once
/*
 * Builds /etc/ld.so.cache in glibc's format "glibc-ld.so.cache1.1" (the only one that glibc
 * writes since 2.32; its loader has read it since 2.2). No I/O.
 *
 *	header 48 | entries 24 each, sorted | strings | pad | extension
 *
 * The loader finds a name by binary search, so the order is part of the format: descending by a
 * comparison that takes digits as numbers (ldcache_name_cmp), then by flags, then glibc-hwcaps
 * entries before plain ones, then the order of the search path. The extension names the writer and
 * the glibc-hwcaps folders (loaders before 2.33 skip both).
 *
 * Differences to ldconfig, all of them allowed: OS version and ISA level are not recorded (newer
 * glibc does not write the first either), and the old hwcap folders (tls, haswell, ...; gone since
 * 2.37) are not searched, so their libraries are found by their plain names only.
 */
#include "tools/hook/base.h"

enum {
	LDCACHE_ENTRIES_MAX = 65536,
	LDCACHE_HWCAPS_MAX = 64,       /* names of glibc-hwcaps folders */
	LDCACHE_STRINGS_MAX = 1 << 25, /* 512 bytes an entry */
};

/* Owner: the caller, by value. */
struct ldcache {
	struct ldcache_entry *entries;
	size_t n, cap;
	char *strings; /* offsets below point here until the cache is laid out */
	size_t len, strings_cap;
	char *hwcaps[LDCACHE_HWCAPS_MAX];
	unsigned nhwcaps;
};

void ldcache_init(struct ldcache *c);
void ldcache_done(struct ldcache *c);
/*
 * `name` is looked up, `path` is what is loaded. hwcap NULL, or the name of the glibc-hwcaps
 * folder that the library is in. Entries of one name and kind keep the order in which they were
 * added. -E2BIG past a limit, -ENOMEM.
 */
int ldcache_add(struct ldcache *c, const char *name, const char *path, int32_t flags,
		const char *hwcap) NODISCARD;
/* The file's bytes, malloc'ed into *bytes (caller frees). Sorts the entries. */
int ldcache_build(struct ldcache *c, const char *generator, char **bytes, size_t *len) NODISCARD;

/* The loader's comparison of names: digit strings as numbers, other bytes as bytes. */
int ldcache_name_cmp(const char *a, const char *b);
