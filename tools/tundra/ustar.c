#include "tools/tundra/ustar.h"

/* Offsets of the fields that we fill (POSIX.1-2017, pax, "ustar Interchange Format"). */
struct ustar_header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type;
	char link[100], magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155];
	char pad[12];
};

static void set_name(struct ustar_header *h, const char *name)
{
	for (size_t i = 0; name[i] && i < USTAR_NAME_MAX; i++)
		if (name[i] > ' ' && name[i] < 0x7f)
			h->name[i] = name[i];
		else
			h->name[i] = '_';
}

static void set_checksum(struct ustar_header *h)
{
	const unsigned char *bytes = (const unsigned char *)h;
	unsigned sum = 0;

	memset(h->checksum, ' ', sizeof(h->checksum));
	for (size_t i = 0; i < sizeof(*h); i++)
		sum += bytes[i];
	snprintf(h->checksum, sizeof(h->checksum), "%06o", sum & 0777777);
}

static size_t padded(size_t n)
{
	return (n + USTAR_BLOCK - 1) / USTAR_BLOCK * USTAR_BLOCK;
}

bool ustar_put(struct buf *out, const char *name, struct sv content, uint64_t mtime_s)
{
	struct ustar_header h = { .type = '0', .magic = "ustar", .version = { '0', '0' } };
	size_t all = sizeof(h) + padded(content.n);
	char *at;

	set_name(&h, name);
	snprintf(h.mode, sizeof(h.mode), "%07o", 0644u);
	snprintf(h.uid, sizeof(h.uid), "%07o", 0u);
	snprintf(h.gid, sizeof(h.gid), "%07o", 0u);
	snprintf(h.size, sizeof(h.size), "%011llo", (unsigned long long)content.n & 077777777777);
	snprintf(h.mtime, sizeof(h.mtime), "%011llo", (unsigned long long)mtime_s & 077777777777);
	snprintf(h.user, sizeof(h.user), "root");
	snprintf(h.group, sizeof(h.group), "root");
	set_checksum(&h);
	at = buf_reserve(out, all);
	if (!at)
		return false;
	memset(at, 0, all);
	memcpy(at, &h, sizeof(h));
	if (content.n)
		memcpy(at + sizeof(h), content.p, content.n);
	buf_commit(out, all);
	return true;
}

bool ustar_end(struct buf *out)
{
	static const char zero[2 * USTAR_BLOCK];

	return buf_put(out, zero, sizeof(zero));
}

size_t ustar_whole(struct sv archive)
{
	size_t at = 0;

	while (archive.n - at >= USTAR_BLOCK) {
		const struct ustar_header *h = (const void *)(archive.p + at);
		size_t all = USTAR_BLOCK + padded(strtoull(h->size, NULL, 8));

		if (memcmp(h->magic, "ustar", 5) != 0 || all > archive.n - at)
			break;
		at += all;
	}
	return at;
}
