/*
 * The whole path: a writer on the loop, the disk worker a process of its own that is killed after
 * its n-th system call that changes a file, for every n. The writer must bring every record to the
 * disk with the next process, each exactly once, and tell so.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>

#include "core/child.h"
#include "core/fsx.h"
#include "core/journal.h"
#include "core/log.h"
#include "core/mem.h"
#include "test/crash/script.h"
#include "test/lib/faults.h"

enum { KEYS = 8, TURNS = 14, BODY = 9000 };

/* In a file that both map: argv is the only way to reach the worker. */
struct shared {
	int lives, kill_at, made;
};

struct life {
	struct loop *loop;
	struct journal *j;
	struct worker *disk;
	char path[128];
	char model[KEYS]; /* last acknowledged letter, 0 = not there */
	unsigned told, failed;
	int ready;
};

struct op {
	struct life *life;
	int key;
	char letter;
};

static struct shared *shared;

void script_limit_space(bool limited, size_t bytes)
{
	(void)limited;
	(void)bytes;
}

static struct shared *map_shared(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *p;

	must(fd >= 0 && ftruncate(fd, sizeof(struct shared)) == 0);
	p = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(p != MAP_FAILED);
	close(fd);
	return p;
}

/* The worker */

static void count(const char *call, int fd)
{
	(void)call;
	(void)fd;
	if (++shared->made == shared->kill_at)
		(void)raise(SIGKILL);
}

static int be_worker(const char *shared_path)
{
	struct journal_disk *d = journal_disk_new();
	int r;

	shared = map_shared(shared_path);
	if (shared->lives++ == 0) {
		faults.on = true;
		faults.after = count;
	}
	r = worker_serve(CHILD_FD, journal_disk_methods, journal_disk_methods_n, d);
	journal_disk_free(&d);
	return r ? 1 : 0;
}

/* The writer */

static void fill(char *body, char letter)
{
	memset(body, letter, BODY);
}

static struct sv key_of(int key, char *buf)
{
	buf[0] = (char)('a' + key);
	return sv_make(buf, 1);
}

static void on_compact(void *arg, struct journal *j)
{
	struct life *l = arg;
	char body[BODY], key[1];
	int k;

	for (k = 0; k < KEYS; k++) {
		fill(body, l->model[k]);
		if (l->model[k])
			journal_put_live(j, key_of(k, key), sv_make(body, BODY));
	}
}

static void on_ready(void *arg, int status, const struct journal_scan_result *r)
{
	struct life *l = arg;

	(void)r;
	l->ready = status ? status : 1;
}

static void on_told(void *arg, int status)
{
	struct op *o = arg;

	o->life->told++;
	if (status)
		o->life->failed++;
	else
		o->life->model[o->key] = o->letter;
	mem_free(o);
}

static void write_one(struct life *l, int key, char letter)
{
	struct op *o = MEM_NEW(struct op);
	char body[BODY], name[1];

	*o = (struct op){ l, key, letter };
	fill(body, letter);
	if (letter)
		journal_put(l->j, key_of(key, name), sv_make(body, BODY), on_told, o);
	else
		journal_del(l->j, key_of(key, name), on_told, o);
}

/* Opening may fail when the process dies in it; the owner then begins anew, as the ledger does. */
static void open_journal(struct life *l)
{
	struct journal_conf conf = { .path = l->path,
				     .boot_id = "boot-1",
				     .disk = l->disk,
				     .on_compact = on_compact,
				     .arg = l };
	const struct journal_scan_events none = { 0 };
	int i;

	for (i = 0; i < 3; i++) {
		l->ready = 0;
		must(!journal_open(l->loop, &conf, &none, on_ready, l, &l->j, NULL));
		while (!l->ready)
			loop_turn(l->loop, -1);
		if (l->ready == 1)
			return;
		journal_free(&l->j);
	}
	must(false);
}

static void write_all(struct life *l)
{
	unsigned made = 0;
	int turn;

	for (turn = 0; turn < TURNS; turn++) {
		write_one(l, turn % 3, (char)('A' + turn));
		write_one(l, 3 + turn % 2, turn % 3 ? (char)('a' + turn) : '\0');
		made += 2;
		loop_turn(l->loop, 0);
		if (turn % 4 == 3) {
			while (!journal_idle(l->j))
				loop_turn(l->loop, -1);
		}
	}
	while (!journal_idle(l->j))
		loop_turn(l->loop, -1);
	must(l->told == made && l->failed == 0);
	/* What is left of a compaction. */
	for (turn = 0; turn < 100; turn++)
		loop_turn(l->loop, 1);
}

struct check {
	const struct life *life;
	size_t n;
};

static void on_put(void *arg, struct sv key, struct sv body)
{
	struct check *c = arg;
	char want[BODY];

	must(key.n == 1 && key.p[0] >= 'a' && key.p[0] < 'a' + KEYS);
	fill(want, c->life->model[key.p[0] - 'a']);
	must(sv_eq(body, sv_make(want, BODY)));
	c->n++;
}

static void check_file(const struct life *l)
{
	struct check c = { .life = l };
	const struct journal_scan_events ev = { .on_put = on_put, .arg = &c };
	struct journal_scan_result r;
	size_t k, n = 0;

	must(!journal_read(l->path, &ev, &r, NULL));
	for (k = 0; k < KEYS; k++)
		n += l->model[k] != 0;
	must(c.n == n && r.live == n && r.corrupt == 0);
}

static void live(const char *root, const char *shared_path)
{
	const char *const args[] = { shared_path, NULL };
	struct worker_exec *exec = worker_exec_new("/proc/self/exe", args);
	struct worker_host host = worker_exec_host(exec);
	struct life l = { .loop = loop_new() };

	(void)snprintf(l.path, sizeof(l.path), "%s/ledger", root);
	must(fsx_remove(l.path) == 0);
	shared->lives = shared->made = 0;
	l.disk = worker_new(l.loop, &host, "disk");
	open_journal(&l);
	write_all(&l);
	/* Undisturbed it compacts; a process killed in a compaction costs that one. */
	must(shared->kill_at || journal_stats(l.j)->compactions > 0);
	check_file(&l);
	journal_free(&l.j);
	worker_free(&l.disk);
	worker_exec_free(&exec);
	loop_free(&l.loop);
}

static void swallow(void *arg, enum log_level level, struct sv line)
{
	(void)arg;
	(void)level;
	(void)line;
}

int main(int argc, char **argv)
{
	char root[64], shared_path[100], ledger[100];
	int n, calls;

	if (argc > 5)
		return be_worker(argv[5]);
	(void)snprintf(root, sizeof(root), "%s/crash_journal.XXXXXX",
		       access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(root))
		return 1;
	(void)snprintf(shared_path, sizeof(shared_path), "%s/shared", root);
	shared = map_shared(shared_path);
	log_capture(swallow, NULL);
	live(root, shared_path); /* undisturbed, to count */
	calls = shared->made;
	must(shared->lives == 1 && calls > 20);
	/* A second process costs a tenth of a second: each of the first calls, then every third. */
	for (n = 1; n <= calls; n += n < 20 ? 1 : 3) {
		shared->kill_at = n;
		live(root, shared_path);
		if (shared->lives < 2) /* other timing, fewer calls */
			break;
	}
	printf("killed after calls 1 to %d of %d\n", n, calls);
	(void)snprintf(ledger, sizeof(ledger), "%s/ledger", root);
	return unlink(ledger) || unlink(shared_path) || rmdir(root);
}
