/*
 * kill -9 after each system call that changes a file, with writes whole and in small parts. What a
 * killed process wrote is in the page cache and stays. Then the recovery is killed after each of
 * its calls too, and at last one is let through.
 */
#include <stdio.h>
#include <sys/mman.h>

#include "core/fsx.h"
#include "test/crash/kill.h"
#include "test/crash/script.h"

static char root[64], path[128];

void script_limit_space(bool limited, size_t bytes)
{
	faults.limited = limited;
	faults.space = bytes;
}

/* Opens and goes on with the script. */
static int live(void *arg)
{
	return script_run(journal_disk_new(), path, arg);
}

static int remove_entry(void *arg, const char *name)
{
	char p[300];

	(void)arg;
	(void)snprintf(p, sizeof(p), "%s/%s", root, name);
	return unlink(p);
}

static void clear(void)
{
	if (fsx_list(root, remove_entry, NULL))
		abort();
}

static void check(bool ok, int first, int second, size_t write_max)
{
	if (ok)
		return;
	fprintf(stderr, "killed after call %d, then after call %d, writes of %zu\n", first, second,
		write_max);
	exit(1);
}

/* Killed once after call `first`, then in the recovery after each call up to a bound. */
static bool sweep_from(struct script_progress *p, int first, int second_max, size_t write_max)
{
	struct script_progress after;
	bool killed;
	int second;

	for (second = 0; second <= second_max; second++) {
		clear();
		*p = (struct script_progress){ 0 };
		killed = kill_after(first, write_max, live, p);
		check(script_holds(path, p), first, 0, write_max);
		if (second) {
			p->begun = p->done;
			(void)kill_after(second, write_max, live, p);
			check(script_holds(path, p), first, second, write_max);
		}
		after = *p;
		check(script_recovers(path, after), first, second, write_max);
		if (!killed)
			return false;
	}
	return true;
}

int main(void)
{
	static const size_t write_max[] = { 0, 170 }; /* whole, a third of a sector at a time */
	struct script_progress *p;
	size_t i;
	int n;

	(void)snprintf(root, sizeof(root), "%s/crash_journal.XXXXXX",
		       access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(root))
		return 1;
	(void)snprintf(path, sizeof(path), "%s/ledger", root);
	p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return 1;
	for (i = 0; i < ARRAY_LEN(write_max); i++) {
		/* Opening makes 8 calls at most; each is a second death behind every eighth first.
		 */
		for (n = 1; sweep_from(p, n, n % 8 ? 0 : 8, write_max[i]); n++) {
		}
		printf("killed after each of %d calls\n", n - 1);
		if (n < 50)
			return 1; /* the sweep swept nothing */
	}
	clear();
	return rmdir(root) ? 1 : 0;
}
