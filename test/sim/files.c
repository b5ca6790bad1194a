#include "test/sim/files.h"

#include "core/mem.h"
#include "test/lib/faults.h"

enum { IMAGES = 8, IMAGE_MAX = 8 << 20 };

/* A file as it was at its last sync. The oldest makes room: of ledgers there are one or two. */
struct image {
	uint64_t ino, at;
	char *bytes;
	size_t n;
};
static struct image images[IMAGES];
static uint64_t changes, syncs;
static bool were_failing;

static struct image *image_for(uint64_t ino)
{
	struct image *oldest = &images[0];

	for (size_t i = 0; i < IMAGES; i++) {
		if (images[i].ino == ino)
			return &images[i];
		if (images[i].at < oldest->at)
			oldest = &images[i];
	}
	return oldest;
}

static void keep(int fd)
{
	struct image *image;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > IMAGE_MAX)
		return;
	image = image_for((uint64_t)st.st_ino);
	mem_free(image->bytes);
	*image = (struct image){ .ino = (uint64_t)st.st_ino, .at = ++syncs };
	image->bytes = mem_alloc((size_t)st.st_size + 1);
	n = pread(fd, image->bytes, (size_t)st.st_size, 0);
	must(n >= 0);
	image->n = (size_t)n;
}

static void after(const char *call, int fd)
{
	changes++;
	if (strstr(call, "sync") && fd >= 0)
		keep(fd);
}

void files_begin(void)
{
	for (size_t i = 0; i < IMAGES; i++)
		mem_free(images[i].bytes);
	memset(images, 0, sizeof(images));
	changes = syncs = 0;
	were_failing = false;
	files_well();
}

uint64_t files_changes(void)
{
	return changes;
}

uint64_t files_syncs(void)
{
	return syncs;
}

void files_durable(const char *path, struct buf *out)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return;
	for (size_t i = 0; i < IMAGES; i++)
		if (images[i].bytes && images[i].ino == (uint64_t)st.st_ino)
			buf_put(out, images[i].bytes, images[i].n);
}

void files_well(void)
{
	faults_off();
	faults.on = faults.spare_sockets = true;
	faults.after = after;
}

bool files_failing(void)
{
	return faults.fail_at || faults.limited;
}

bool files_were_failing(void)
{
	bool was = were_failing;

	were_failing = files_failing();
	return was;
}

void files_fail(const char *call, int n, int code)
{
	files_well();
	were_failing = true;
	faults.fail_on = call;
	faults.fail_at = n;
	faults.code = code;
}

void files_full(size_t bytes)
{
	files_well();
	were_failing = true;
	faults.limited = true;
	faults.space = bytes;
}
