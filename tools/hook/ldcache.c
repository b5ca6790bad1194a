#include "tools/hook/ldcache.h"

#include <errno.h>
#include <string.h>

struct ldcache_entry {
	const struct ldcache *owner; /* qsort() passes nothing else along */
	size_t name, path;	     /* in strings */
	size_t order;
	int32_t flags;
	int hwcap; /* in hwcaps, -1 for none */
};

/* On disk, little endian. */
struct file_header {
	char magic[17], version[3];
	uint32_t entries, strings_len;
	uint8_t endian, pad[3];
	uint32_t extension, unused[3];
};
struct file_entry {
	uint32_t flags, name, path, osversion;
	uint32_t hwcap[2];
};
struct file_extension {
	uint32_t magic, sections;
};
struct file_section {
	uint32_t tag, flags, offset, size;
};
_Static_assert(sizeof(struct file_header) == 48, "glibc's struct cache_file_new");
_Static_assert(sizeof(struct file_entry) == 24, "glibc's struct file_entry_new");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "fields are written as they are");

#define ENDIAN_LITTLE	2
#define EXTENSION_MAGIC 0xeaa42174u
#define HWCAP_EXTENSION (1u << 30) /* bit 62 of the 64: the low half is an index */
enum { TAG_GENERATOR = 0, TAG_HWCAPS = 1 };

void ldcache_init(struct ldcache *c)
{
	*c = (struct ldcache){ 0 };
}

void ldcache_done(struct ldcache *c)
{
	for (unsigned i = 0; i < c->nhwcaps; i++)
		free(c->hwcaps[i]);
	free(c->entries);
	free(c->strings);
	ldcache_init(c);
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Wraps like the loader's int does, without the undefined behaviour. */
static uint32_t number(const char **p)
{
	uint32_t n = 0;

	while (digit(**p))
		n = n * 10 + (uint32_t)(*(*p)++ - '0');
	return n;
}

int ldcache_name_cmp(const char *a, const char *b)
{
	uint32_t x, y;

	while (*a) {
		if (digit(*a) && digit(*b)) {
			x = number(&a);
			y = number(&b);
			if (x != y)
				return (int)(x - y);
		} else if (digit(*a) || digit(*b)) {
			return digit(*a) ? 1 : -1;
		} else if (*a != *b) {
			return *a - *b;
		} else {
			a++;
			b++;
		}
	}
	return *a - *b;
}

/* Room for one more element of an array that doubles. */
static int grow(void **array, size_t need, size_t *cap, size_t size)
{
	size_t next = *cap ? *cap : 64;
	void *p;

	if (need <= *cap)
		return 0;
	while (next < need)
		next *= 2;
	p = realloc(*array, next * size);
	if (!p)
		return -ENOMEM;
	*array = p;
	*cap = next;
	return 0;
}

static int add_string(struct ldcache *c, const char *s, size_t *at)
{
	size_t len = strlen(s) + 1;
	void *strings = c->strings;
	int r;

	if (c->len + len > LDCACHE_STRINGS_MAX)
		return -E2BIG;
	r = grow(&strings, c->len + len, &c->strings_cap, 1);
	c->strings = strings;
	if (r < 0)
		return r;
	*at = c->len;
	memcpy(c->strings + c->len, s, len);
	c->len += len;
	return 0;
}

static int hwcap_index(struct ldcache *c, const char *name)
{
	if (!name)
		return -1;
	for (unsigned i = 0; i < c->nhwcaps; i++)
		if (strcmp(c->hwcaps[i], name) == 0)
			return (int)i;
	if (c->nhwcaps == LDCACHE_HWCAPS_MAX)
		return -E2BIG;
	c->hwcaps[c->nhwcaps] = strdup(name);
	return c->hwcaps[c->nhwcaps] ? (int)c->nhwcaps++ : -ENOMEM;
}

int ldcache_add(struct ldcache *c, const char *name, const char *path, int32_t flags,
		const char *hwcap)
{
	struct ldcache_entry e = { .flags = flags, .order = c->n };
	void *entries = c->entries;
	int r;

	if (c->n >= LDCACHE_ENTRIES_MAX)
		return -E2BIG;
	e.hwcap = hwcap_index(c, hwcap);
	if (e.hwcap < -1)
		return e.hwcap;
	r = grow(&entries, c->n + 1, &c->cap, sizeof(e));
	c->entries = entries;
	if (r == 0)
		r = add_string(c, name, &e.name);
	if (r == 0)
		r = add_string(c, path, &e.path);
	if (r == 0)
		c->entries[c->n++] = e;
	return r;
}

static int compare(const void *a, const void *b)
{
	const struct ldcache_entry *x = a, *y = b;
	const struct ldcache *c = x->owner;
	int r = ldcache_name_cmp(c->strings + y->name, c->strings + x->name);

	if (r != 0)
		return r;
	if (x->flags != y->flags)
		return x->flags < y->flags ? 1 : -1;
	if (x->hwcap != y->hwcap) {
		if (x->hwcap < 0 || y->hwcap < 0)
			return x->hwcap < 0 ? 1 : -1;
		return strcmp(c->hwcaps[x->hwcap], c->hwcaps[y->hwcap]);
	}
	return x->order < y->order ? -1 : x->order > y->order;
}

/* The section of names must be sorted; rank[i] is where hwcaps[i] goes. */
static void rank_hwcaps(const struct ldcache *c, uint32_t rank[LDCACHE_HWCAPS_MAX])
{
	for (unsigned i = 0; i < c->nhwcaps; i++) {
		rank[i] = 0;
		for (unsigned k = 0; k < c->nhwcaps; k++)
			rank[i] += strcmp(c->hwcaps[k], c->hwcaps[i]) < 0;
	}
}

static void put_entries(const struct ldcache *c, char *out, uint32_t strings)
{
	uint32_t rank[LDCACHE_HWCAPS_MAX];
	const struct ldcache_entry *e;
	struct file_entry f;

	rank_hwcaps(c, rank);
	for (size_t i = 0; i < c->n; i++) {
		e = &c->entries[i];
		f = (struct file_entry){ .flags = (uint32_t)e->flags,
					 .name = strings + (uint32_t)e->name,
					 .path = strings + (uint32_t)e->path };
		if (e->hwcap >= 0) {
			f.hwcap[0] = rank[e->hwcap];
			f.hwcap[1] = HWCAP_EXTENSION;
		}
		memcpy(out + i * sizeof(f), &f, sizeof(f));
	}
}

/* The directory of sections and behind it their contents; hwcap_at are the names' offsets. */
static void put_extension(const struct ldcache *c, char *out, uint32_t offset,
			  const char *generator, const uint32_t *hwcap_at)
{
	uint32_t rank[LDCACHE_HWCAPS_MAX];
	struct file_extension head = { .magic = EXTENSION_MAGIC, .sections = c->nhwcaps ? 2 : 1 };
	uint32_t data = (uint32_t)(sizeof(head) + head.sections * sizeof(struct file_section));
	struct file_section gen = { .tag = TAG_GENERATOR, .size = (uint32_t)strlen(generator) };
	struct file_section caps = { .tag = TAG_HWCAPS, .size = c->nhwcaps * 4 };

	/* Names first: they need the alignment. */
	caps.offset = offset + data;
	gen.offset = caps.offset + caps.size;
	memcpy(out, &head, sizeof(head));
	memcpy(out + sizeof(head), &gen, sizeof(gen));
	if (c->nhwcaps)
		memcpy(out + sizeof(head) + sizeof(gen), &caps, sizeof(caps));
	rank_hwcaps(c, rank);
	for (unsigned i = 0; i < c->nhwcaps; i++)
		memcpy(out + data + rank[i] * (size_t)4, &hwcap_at[i], 4);
	memcpy(out + data + caps.size, generator, gen.size);
}

int ldcache_build(struct ldcache *c, const char *generator, char **bytes, size_t *len)
{
	struct file_header h = { .magic = "glibc-ld.so.cache", .version = "1.1" };
	uint32_t hwcap_at[LDCACHE_HWCAPS_MAX];
	size_t at = 0, strings = sizeof(h) + c->n * sizeof(struct file_entry);
	char *out;
	int r = 0;

	for (unsigned i = 0; i < c->nhwcaps && r == 0; i++) {
		r = add_string(c, c->hwcaps[i], &at);
		hwcap_at[i] = (uint32_t)(strings + at);
	}
	if (r < 0)
		return r;
	for (size_t i = 0; i < c->n; i++)
		c->entries[i].owner = c;
	if (c->n)
		qsort(c->entries, c->n, sizeof(*c->entries), compare);
	h.entries = (uint32_t)c->n;
	h.strings_len = (uint32_t)c->len;
	h.endian = ENDIAN_LITTLE;
	h.extension = (uint32_t)((strings + c->len + 3) & ~(size_t)3);
	*len = h.extension + sizeof(struct file_extension) + 2 * sizeof(struct file_section) +
	       c->nhwcaps * (size_t)4 + strlen(generator);
	if (!c->nhwcaps)
		*len -= sizeof(struct file_section);
	out = calloc(1, *len);
	if (!out)
		return -ENOMEM;
	memcpy(out, &h, sizeof(h));
	put_entries(c, out + sizeof(h), (uint32_t)strings);
	if (c->len)
		memcpy(out + strings, c->strings, c->len);
	put_extension(c, out + h.extension, h.extension, generator, hwcap_at);
	*bytes = out;
	return 0;
}
