#pragma once
/*
 * A reader of glibc-ld.so.cache1.1 written from the format alone, to judge what the hook writes:
 * every offset is checked, and a name is looked up by binary search as the loader does.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cachefile {
	const char *bytes;
	size_t len;
	uint32_t n;
};

struct cachefile_entry {
	int32_t flags;
	const char *name, *path;
	const char *hwcap; /* or NULL */
};

static inline uint32_t cachefile_u32(const struct cachefile *c, size_t at)
{
	uint32_t v = 0;

	if (at <= c->len - 4)
		memcpy(&v, c->bytes + at, 4);
	return v;
}

static inline const char *cachefile_str(const struct cachefile *c, uint32_t at)
{
	return at < c->len && memchr(c->bytes + at, '\0', c->len - at) ? c->bytes + at : NULL;
}

/* The extension's section of that tag: its offset and size; false without it. */
static inline bool cachefile_section(const struct cachefile *c, uint32_t tag, uint32_t *at,
				     uint32_t *size)
{
	uint32_t ext = cachefile_u32(c, 32), count;

	if (ext == 0 || ext % 4 || ext > c->len - 8 || cachefile_u32(c, ext) != 0xeaa42174u)
		return false;
	count = cachefile_u32(c, ext + 4);
	for (uint32_t i = 0; i < count && ext + 8 + (i + 1) * 16 <= c->len; i++) {
		if (cachefile_u32(c, ext + 8 + i * 16) != tag)
			continue;
		*at = cachefile_u32(c, ext + 8 + i * 16 + 8);
		*size = cachefile_u32(c, ext + 8 + i * 16 + 12);
		return *at <= c->len && *size <= c->len - *at;
	}
	return false;
}

static inline bool cachefile_get(const struct cachefile *c, uint32_t i, struct cachefile_entry *e)
{
	size_t at = 48 + (size_t)i * 24;
	uint32_t caps, size, high = cachefile_u32(c, at + 20), low = cachefile_u32(c, at + 16);

	e->flags = (int32_t)cachefile_u32(c, at);
	e->name = cachefile_str(c, cachefile_u32(c, at + 4));
	e->path = cachefile_str(c, cachefile_u32(c, at + 8));
	e->hwcap = NULL;
	if (high == 1u << 30) {
		if (!cachefile_section(c, 1, &caps, &size) || caps % 4 || low >= size / 4)
			return false;
		e->hwcap = cachefile_str(c, cachefile_u32(c, caps + low * 4));
		if (!e->hwcap)
			return false;
	} else if (high || low) {
		return false;
	}
	return e->name && e->path;
}

/* The loader's order, written a second time and differently: runs of digits by value. */
static inline int cachefile_cmp(const char *a, const char *b)
{
	for (;;) {
		size_t da = strspn(a, "0123456789"), db = strspn(b, "0123456789");
		uint32_t x = 0, y = 0;

		if (da && db) {
			while (da--)
				x = x * 10 + (uint32_t)(*a++ - '0');
			while (db--)
				y = y * 10 + (uint32_t)(*b++ - '0');
			if (x != y)
				return (int32_t)(x - y) < 0 ? -1 : 1;
		} else if (da || db) {
			/* The loader looks at the bytes of the left name only while it lasts. */
			return *a == '\0' ? -1 : da ? 1 : -1;
		} else if (*a != *b) {
			return *a < *b ? -1 : 1;
		} else if (*a == '\0') {
			return 0;
		} else {
			a++;
			b++;
		}
	}
}

/* Header, every entry and the order; false says that a loader could go wrong. */
static inline bool cachefile_open(struct cachefile *c, const char *bytes, size_t len)
{
	struct cachefile_entry e, last = { 0 };
	uint32_t at, size;

	*c = (struct cachefile){ .bytes = bytes, .len = len };
	if (len < 48 || memcmp(bytes, "glibc-ld.so.cache1.1", 20) != 0 || bytes[28] != 2)
		return false;
	c->n = cachefile_u32(c, 20);
	if (c->n > (len - 48) / 24 || 48 + (size_t)c->n * 24 + cachefile_u32(c, 24) > len)
		return false;
	if (!cachefile_section(c, 0, &at, &size) || size == 0)
		return false;
	for (uint32_t i = 0; i < c->n; i++) {
		if (!cachefile_get(c, i, &e))
			return false;
		if (i && cachefile_cmp(last.name, e.name) < 0)
			return false;
		if (i && cachefile_cmp(last.name, e.name) == 0 && last.flags < e.flags)
			return false;
		last = e;
	}
	return true;
}

/* Path of the first entry that a loader for `flags` without hwcaps would take, or NULL. */
static inline const char *cachefile_find(const struct cachefile *c, const char *name, int32_t flags)
{
	uint32_t left = 0, right = c->n, middle;
	struct cachefile_entry e;

	while (left < right) {
		middle = left + (right - left) / 2;
		if (!cachefile_get(c, middle, &e))
			return NULL;
		if (cachefile_cmp(e.name, name) > 0)
			left = middle + 1;
		else
			right = middle;
	}
	for (; left < c->n && cachefile_get(c, left, &e) && cachefile_cmp(e.name, name) == 0;
	     left++)
		if (e.flags == flags && !e.hwcap)
			return e.path;
	return NULL;
}
