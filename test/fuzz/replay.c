/*
 * Feeds a fuzz target the files of its corpus, for builds without libFuzzer. Each file is given
 * whole, and a small one also cut at every length: most parser bugs live at the end of the input.
 * An input is copied to memory of its exact size, so that a sanitizer sees a read beyond it.
 */
#include <dirent.h>
#include <errno.h>

#include "core/buf.h"
#include "core/mem.h"
#include "test/fuzz/fuzz.h"

enum { INPUT_MAX = 1 << 20, CUT_MAX = 1024 };

static void feed(struct sv input)
{
	void *copy = mem_dup(input.p, input.n);

	(void)LLVMFuzzerTestOneInput(copy, input.n);
	mem_free(copy);
}

static bool read_file(const char *path, struct buf *b)
{
	FILE *f = fopen(path, "re");
	size_t n = 0;
	char *to;

	if (!f)
		return false;
	buf_clear(b);
	do {
		to = buf_reserve(b, 4096);
		if (!to)
			break;
		n = fread(to, 1, 4096, f);
		buf_commit(b, n);
	} while (n);
	(void)fclose(f);
	return !b->full;
}

static size_t replay(const char *folder, struct buf *b)
{
	DIR *d = opendir(folder);
	struct dirent *entry;
	size_t files = 0, n;

	if (!d)
		return 0;
	while ((entry = readdir(d))) {
		char *path _mem_free_ = mem_printf("%s/%s", folder, entry->d_name);

		if (entry->d_name[0] == '.' || !read_file(path, b))
			continue;
		files++;
		feed(buf_sv(b));
		for (n = 0; buf_len(b) <= CUT_MAX && n < buf_len(b); n++)
			feed(sv_make(buf_sv(b).p, n));
	}
	(void)closedir(d);
	return files;
}

int main(int argc, char **argv)
{
	struct buf b;
	size_t files;
	int i;

	buf_init(&b, INPUT_MAX);
	for (i = 1; i < argc; i++) {
		files = replay(argv[i], &b);
		(void)printf("%s: %zu inputs\n", argv[i], files);
		/* An empty corpus would pass for ever without testing anything. */
		if (!files)
			return EXIT_FAILURE;
	}
	buf_done(&b);
	return EXIT_SUCCESS;
}
