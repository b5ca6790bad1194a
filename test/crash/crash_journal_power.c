/*
 * Power loss after each system call that changes a file. The script runs undisturbed while a model
 * of the disk is kept: for each file every content it had since its last completed sync, for the
 * folder every file that the name led to since the folder's last sync. At each crash point disks
 * are made up that a power loss may leave: each sector of 512 bytes may have any of those contents,
 * the file any of those sizes, the name may lead to any of those files. Made are: everything new,
 * everything old, each single sector old or new, and some mixtures by dice. Each such disk must
 * hold what was answered, nothing half, nothing that looks corrupt; and must carry the rest of the
 * script.
 *
 * Some of these disks are taken through a second crash, in the recovery from the first.
 */
#include <signal.h>
#include <stdio.h>

#include "core/buf.h"
#include "core/fsx.h"
#include "core/mem.h"
#include "test/crash/script.h"
#include "test/lib/faults.h"

enum { SECTOR = 512, FILES = 40, VERSIONS = 64, DEPTH = 2, MIXTURES = 4 };
/* Every so many disks go through a second crash, within this many calls. */
enum { SECOND_EVERY = 10, SECOND_CALLS = 10 };

struct content {
	char *p;
	size_t n;
};

struct file {
	ino_t ino;
	int fd; /* pins the inode, so that its number is not used again */
	struct content v[VERSIONS];
	size_t n; /* v[0] is on the disk for sure */
};

/* A running script and the disk below it. */
struct recorder {
	struct recorder *outer;
	int depth, calls;
	char path[160], side[176];
	struct script_progress p;
	struct file files[FILES];
	size_t files_n;
	int names[VERSIONS]; /* what the name may lead to: index of a file, -1 = nothing */
	size_t names_n;
};

static char root[64];
static struct recorder *now; /* whose calls are seen */
static uint32_t seed = 1;
static unsigned long disks, carried;

void script_limit_space(bool limited, size_t bytes)
{
	faults.limited = limited;
	faults.space = bytes;
}

static size_t dice(size_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

/* Keeping the model */

static void content_free(struct content *c)
{
	mem_free(c->p);
	*c = (struct content){ 0 };
}

static struct content content_of(int fd)
{
	struct content c;
	struct stat st;

	must(fstat(fd, &st) == 0);
	c.n = (size_t)st.st_size;
	c.p = mem_alloc(c.n);
	must(pread(fd, c.p, c.n, 0) == (ssize_t)c.n);
	return c;
}

static void note_content(struct file *f)
{
	struct content c = content_of(f->fd);
	const struct content *last = f->n ? &f->v[f->n - 1] : NULL;

	if (last && last->n == c.n && memcmp(last->p, c.p, c.n) == 0) {
		content_free(&c);
		return;
	}
	must(f->n < VERSIONS);
	f->v[f->n++] = c;
}

static int note_file(struct recorder *r, const char *name)
{
	struct file *f;
	struct stat st;
	size_t i;

	if (stat(name, &st))
		return -1;
	for (i = 0; i < r->files_n; i++) {
		if (r->files[i].ino == st.st_ino)
			return (int)i;
	}
	must(r->files_n < FILES);
	f = &r->files[r->files_n];
	*f = (struct file){ .ino = st.st_ino, .fd = open(name, O_RDONLY | O_CLOEXEC) };
	must(f->fd >= 0);
	f->v[f->n++] = (struct content){ .p = mem_alloc(0) }; /* just made: may be empty */
	return (int)r->files_n++;
}

static void note(struct recorder *r)
{
	size_t i;
	int led = note_file(r, r->path);

	(void)note_file(r, r->side);
	for (i = 0; i < r->files_n; i++)
		note_content(&r->files[i]);
	if (!r->names_n || r->names[r->names_n - 1] != led) {
		must(r->names_n < VERSIONS);
		r->names[r->names_n++] = led;
	}
}

/* What a sync that returned makes sure of. */
static void settle(struct recorder *r, int fd)
{
	struct stat st;
	struct file *f;
	size_t i;

	must(fstat(fd, &st) == 0);
	if (S_ISDIR(st.st_mode)) {
		r->names[0] = r->names[r->names_n - 1];
		r->names_n = 1;
		return;
	}
	for (i = 0; i < r->files_n; i++) {
		f = &r->files[i];
		if (f->ino != st.st_ino)
			continue;
		while (f->n > 1) {
			content_free(&f->v[0]);
			memmove(f->v, f->v + 1, --f->n * sizeof(f->v[0]));
		}
	}
}

/* Making disks */

/* Which version of the name, of the size and of each sector. */
struct choice {
	size_t name, size, most, one;
	size_t sector; /* has version `one`, the others `most`; SIZE_MAX: by dice, one or most */
};

static size_t pick(const struct file *f, const struct choice *c, size_t sector)
{
	bool one = c->sector == SIZE_MAX ? dice(2) : c->sector == sector;

	return MIN(one ? c->one : c->most, f->n - 1);
}

static struct content make_content(const struct file *f, const struct choice *c)
{
	struct content out = { .n = f->v[MIN(c->size, f->n - 1)].n };
	const struct content *v;
	size_t at, end, have;

	out.p = mem_zalloc(out.n);
	for (at = 0; at < out.n; at = end) {
		end = MIN(at + SECTOR, out.n);
		v = &f->v[pick(f, c, at / SECTOR)];
		have = MIN(v->n, end);
		if (have > at)
			memcpy(out.p + at, v->p + at, have - at);
	}
	return out;
}

static void recorder_start(struct recorder *r, int depth, const struct script_progress *p)
{
	*r = (struct recorder){ .outer = now, .depth = depth };
	if (p)
		r->p = *p;
	(void)snprintf(r->path, sizeof(r->path), "%s/%d/ledger", root, depth);
	(void)snprintf(r->side, sizeof(r->side), "%s.compact", r->path);
	note(r);
	if (r->names[0] >= 0)
		settle(r, r->files[r->names[0]].fd); /* what a first crash left is on the disk */
}

static void recorder_end(struct recorder *r)
{
	size_t i, k;

	for (i = 0; i < r->files_n; i++) {
		close(r->files[i].fd);
		for (k = 0; k < r->files[i].n; k++)
			content_free(&r->files[i].v[k]);
	}
}

/* Where the script was; also for what aborts in there. */
static void tell_where(int signo)
{
	const struct recorder *r;

	(void)signo;
	for (r = now; r; r = r->outer)
		fprintf(stderr, "%s: after call %d, step %u of %u begun, writes of %zu\n",
			r->depth ? "in the recovery" : "in the script", r->calls, r->p.begun,
			script_steps(), faults.write_max);
}

static void NORETURN give_up(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

static void after_call(const char *call, int fd);

/* Runs the script on the disk that was made, itself recorded and crashed. */
static void crash_again(int depth, const struct script_progress *p)
{
	struct recorder *r = mem_alloc(sizeof(*r));
	struct journal_disk *d = journal_disk_new();

	recorder_start(r, depth, p);
	now = r;
	faults_off();
	faults.on = true;
	faults.after = after_call;
	if (script_run(d, r->path, &r->p))
		give_up("the recovery failed");
	faults_off();
	now = r->outer;
	journal_disk_free(&d);
	recorder_end(r);
	mem_free(r);
}

static void make_disk(const struct recorder *r, const struct choice *c, const char *path)
{
	int led = r->names[MIN(c->name, r->names_n - 1)];
	struct content content;

	must(fsx_remove(path) == 0);
	if (led < 0)
		return;
	content = make_content(&r->files[led], c);
	must(fsx_replace(path, sv_make(content.p, content.n), 0600, 0) == 0);
	content_free(&content);
}

static void try_disk(struct recorder *r, const struct choice *c, bool go_on)
{
	struct script_progress p = r->p;
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/%d/ledger", root, r->depth + 1);
	make_disk(r, c, path);
	disks++;
	if (!script_holds(path, &p))
		give_up("the disk does not hold what was promised");
	p.begun = p.done;
	if (!go_on)
		return;
	if (r->depth + 1 < DEPTH && ++carried % SECOND_EVERY == 0)
		crash_again(r->depth + 1, &p);
	else if (!script_recovers(path, p))
		give_up("the disk cannot be worked with");
}

static bool same_sector(const struct content *a, const struct content *b, size_t sector)
{
	size_t at = sector * SECTOR, na, nb;

	na = a->n > at ? MIN(a->n - at, (size_t)SECTOR) : 0;
	nb = b->n > at ? MIN(b->n - at, (size_t)SECTOR) : 0;
	return na == nb && (na == 0 || memcmp(a->p + at, b->p + at, na) == 0);
}

/* All is as the newest version but one sector, and the other way round. */
static void one_sector_differs(struct recorder *r, size_t name)
{
	const struct file *f = r->names[name] < 0 ? NULL : &r->files[r->names[name]];
	struct choice c = { .name = name };
	size_t old, last;

	if (!f)
		return;
	last = f->n - 1;
	for (old = 0; old < last; old++) {
		for (c.sector = 0; c.sector * SECTOR < f->v[last].n; c.sector++) {
			if (same_sector(&f->v[old], &f->v[last], c.sector))
				continue;
			c.size = c.most = last;
			c.one = old;
			try_disk(r, &c, false);
			c.most = old;
			c.one = last;
			try_disk(r, &c, false);
		}
	}
}

static size_t versions(const struct recorder *r)
{
	size_t i, n = r->names_n;

	for (i = 0; i < r->files_n; i++)
		n = MAX(n, r->files[i].n);
	return n;
}

static void crash_here(struct recorder *r)
{
	struct choice c = { VERSIONS, VERSIONS, VERSIONS, VERSIONS, 0 };
	size_t n = versions(r), name;
	int i;

	try_disk(r, &c, true);
	if (n == 1)
		return;
	c = (struct choice){ 0 };
	try_disk(r, &c, true);
	for (name = 0; name < r->names_n; name++)
		one_sector_differs(r, name);
	for (i = 0; i < MIXTURES; i++) {
		c = (struct choice){ dice(r->names_n), dice(n), dice(n), dice(n), SIZE_MAX };
		try_disk(r, &c, true);
	}
}

static void after_call(const char *call, int fd)
{
	struct recorder *r = now;
	__typeof__(faults) saved = faults;

	r->calls++;
	note(r);
	if (!strcmp(call, "fsync") || !strcmp(call, "fdatasync"))
		settle(r, fd);
	if (r->depth && r->calls > SECOND_CALLS)
		return;
	faults_off();
	crash_here(r);
	faults = saved;
}

static int remove_entry(void *arg, const char *name)
{
	char p[300];

	(void)snprintf(p, sizeof(p), "%s/%s", (const char *)arg, name);
	if (fsx_remove(p) == -EISDIR)
		return fsx_list(p, remove_entry, p) ?: rmdir(p);
	return 0;
}

static void run(size_t write_max)
{
	struct recorder *r = mem_alloc(sizeof(*r));
	struct journal_disk *d = journal_disk_new();
	unsigned long before = disks;

	recorder_start(r, 0, NULL);
	now = r;
	faults_off();
	faults.on = true;
	faults.after = after_call;
	faults.write_max = write_max;
	if (script_run(d, r->path, &r->p))
		give_up("the script failed by itself");
	faults_off();
	now = NULL;
	printf("%lu disks after each of %d calls\n", disks - before, r->calls);
	must(r->calls > 50 && disks - before > 200); /* it did sweep something */
	journal_disk_free(&d);
	must(fsx_remove(r->path) == 0);
	recorder_end(r);
	mem_free(r);
}

int main(void)
{
	char path[100];
	int depth;

	(void)snprintf(root, sizeof(root), "%s/crash_journal.XXXXXX",
		       access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	(void)signal(SIGABRT, tell_where);
	if (!mkdtemp(root))
		return 1;
	for (depth = 0; depth <= DEPTH; depth++) {
		(void)snprintf(path, sizeof(path), "%s/%d", root, depth);
		if (mkdir(path, 0700))
			return 1;
	}
	run(0);
	run(200); /* writes in parts: more crash points and contents of a sector */
	return fsx_list(root, remove_entry, root) ?: rmdir(root);
}
