#include "gpu/device.h"

#include <stdarg.h>

#include "core/log.h"
#include "core/mem.h"

static struct gpu_attribute *device_add(struct gpu_device *d, const char *domain, const char *name,
					enum gpu_value_kind kind)
{
	struct gpu_attribute *a;

	d->attributes = mem_realloc(d->attributes, d->attributes_n + 1, sizeof(*d->attributes));
	a = &d->attributes[d->attributes_n++];
	*a = (struct gpu_attribute){ .domain = domain, .kind = kind };
	must(sv_copy(a->name, sizeof(a->name), sv_str(name)));
	return a;
}

/* Bytes of the well-formed UTF-8 character at `s`, 0 when there is none. */
static size_t device_character(const char *s)
{
	static const struct {
		unsigned char mask, lead;
	} rows[] = { { 0x80, 0x00 }, { 0xe0, 0xc0 }, { 0xf0, 0xe0 }, { 0xf8, 0xf0 } };
	const unsigned char *c = (const unsigned char *)s;
	size_t n, i;

	for (n = 0; n < ARRAY_LEN(rows) && (c[0] & rows[n].mask) != rows[n].lead; n++)
		;
	if (n == ARRAY_LEN(rows) || c[0] == 0xc0 || c[0] == 0xc1 || c[0] > 0xf4)
		return 0;
	for (i = 1; i <= n; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
	    (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))
		return 0;
	return n + 1;
}

/*
 * The API server wants UTF-8 and at most GPU_TEXT_MAX bytes, or it refuses the slice with all its
 * devices; a library's text may be neither.
 */
static void device_text(char out[GPU_TEXT_MAX + 1], const char *s)
{
	size_t n = 0, size;

	while (*s) {
		size = device_character(s);
		if (n + (size ? size : 1) > GPU_TEXT_MAX)
			break;
		memcpy(out + n, s, size ? size : 1);
		if (size == 0)
			out[n] = '?';
		else if ((unsigned char)*s < 0x20 || *s == 0x7f)
			out[n] = ' ';
		n += size ? size : 1;
		s += size ? size : 1;
	}
	out[n] = '\0';
}

void device_add_string(struct gpu_device *d, const char *domain, const char *name, const char *s)
{
	device_text(device_add(d, domain, name, GPU_STRING)->s, s);
}

void device_add_version(struct gpu_device *d, const char *domain, const char *name, const char *s)
{
	device_text(device_add(d, domain, name, GPU_VERSION)->s, s);
}

void device_add_int(struct gpu_device *d, const char *domain, const char *name, int64_t v)
{
	device_add(d, domain, name, GPU_INT)->i = v;
}

void device_add_bool(struct gpu_device *d, const char *domain, const char *name, bool v)
{
	device_add(d, domain, name, GPU_BOOL)->i = v;
}

void device_mark_extra(struct gpu_device *d)
{
	must(d->attributes_n > 0);
	d->attributes[d->attributes_n - 1].extra = true;
}

void device_add_capacity(struct gpu_device *d, const char *name, uint64_t value)
{
	struct gpu_capacity *c;

	d->capacities = mem_realloc(d->capacities, d->capacities_n + 1, sizeof(*d->capacities));
	c = &d->capacities[d->capacities_n++];
	*c = (struct gpu_capacity){ .value = value };
	must(sv_copy(c->name, sizeof(c->name), sv_str(name)));
}

static int device_cmp_attribute(const void *a, const void *b)
{
	const struct gpu_attribute *x = a, *y = b;
	int r = strcmp(x->domain, y->domain);

	return r ? r : strcmp(x->name, y->name);
}

static int device_cmp_capacity(const void *a, const void *b)
{
	const struct gpu_capacity *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static bool device_drop_extra(struct gpu_device *d, const char *name)
{
	size_t i;

	for (i = 0; i < d->attributes_n; i++) {
		if (!d->attributes[i].extra || strcmp(d->attributes[i].name, name) != 0)
			continue;
		log_warn("attribute left out, the device has too many", LOG_S("device", d->name),
			 LOG_S("attribute", name), LOG_I("limit", GPU_FACETS_MAX));
		memmove(&d->attributes[i], &d->attributes[i + 1],
			(d->attributes_n - i - 1) * sizeof(*d->attributes));
		d->attributes_n--;
		return true;
	}
	return false;
}

size_t device_seal(struct gpu_device *d, const char *const *order)
{
	size_t dropped = 0;

	for (; *order && d->attributes_n + d->capacities_n > GPU_FACETS_MAX; order++)
		dropped += device_drop_extra(d, *order);
	must(d->attributes_n + d->capacities_n <= GPU_FACETS_MAX);
	if (d->attributes_n)
		qsort(d->attributes, d->attributes_n, sizeof(*d->attributes), device_cmp_attribute);
	if (d->capacities_n)
		qsort(d->capacities, d->capacities_n, sizeof(*d->capacities), device_cmp_capacity);
	return dropped;
}

void device_trouble(struct gpu_device *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d->trouble, sizeof(d->trouble), fmt, ap);
	va_end(ap);
}

static bool device_same_attribute(const struct gpu_attribute *a, const struct gpu_attribute *b)
{
	return strcmp(a->domain, b->domain) == 0 && strcmp(a->name, b->name) == 0 &&
	       a->kind == b->kind && a->extra == b->extra && a->i == b->i &&
	       strcmp(a->s, b->s) == 0;
}

bool device_same(const struct gpu_device *a, const struct gpu_device *b)
{
	size_t i;

	if (a->kind != b->kind || a->vendor != b->vendor || a->minor != b->minor ||
	    a->present != b->present || strcmp(a->name, b->name) != 0 ||
	    strcmp(a->uuid, b->uuid) != 0 || strcmp(a->pci, b->pci) != 0 ||
	    strcmp(a->trouble, b->trouble) != 0 || a->attributes_n != b->attributes_n ||
	    a->capacities_n != b->capacities_n)
		return false;
	for (i = 0; i < a->attributes_n; i++)
		if (!device_same_attribute(&a->attributes[i], &b->attributes[i]))
			return false;
	for (i = 0; i < a->capacities_n; i++)
		if (strcmp(a->capacities[i].name, b->capacities[i].name) != 0 ||
		    a->capacities[i].value != b->capacities[i].value)
			return false;
	return edits_hash(&a->edits) == edits_hash(&b->edits);
}

const struct gpu_attribute *device_attribute(const struct gpu_device *d, const char *domain,
					     const char *name)
{
	size_t i;

	for (i = 0; i < d->attributes_n; i++)
		if (strcmp(d->attributes[i].domain, domain) == 0 &&
		    strcmp(d->attributes[i].name, name) == 0)
			return &d->attributes[i];
	return NULL;
}

void device_done(struct gpu_device *d)
{
	mem_free(d->attributes);
	mem_free(d->capacities);
	d->attributes = NULL;
	d->capacities = NULL;
	d->attributes_n = d->capacities_n = 0;
	edits_done(&d->edits);
}
