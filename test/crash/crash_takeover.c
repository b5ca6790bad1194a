/*
 * kill -9 after each system call of a take-over, then of the take-over that follows; one more is
 * let through. Whenever it dies, a prepared claim is in the driver's state file or in our ledger,
 * and in the end every one is in the ledger, once.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "core/fsx.h"
#include "core/log.h"
#include "core/mem.h"
#include "k8s/ledger_file.h"
#include "k8s/takeover.h"
#include "test/lib/faults.h"

#define BOOT  "5c3f8f4e-0000-4000-8000-000000000001"
#define BEGUN "2e8e2c1f-9b1d-4f7e-b0a4-1d4f6a1b0003"

static char folder[64], ledger[96], checkpoint[96], aside[128], cdi[160];
static int kill_at, made; /* calls */

static void count(const char *call, int fd)
{
	(void)call;
	(void)fd;
	if (++made == kill_at)
		(void)raise(SIGKILL);
}

static int take_over(void)
{
	const struct takeover_conf conf = { .folder = folder,
					    .ledger = ledger,
					    .cdi = folder,
					    .driver = "gpu.nvidia.com",
					    .pool = "node-1",
					    .boot_id = BOOT };
	struct err e = { "" };
	int r = takeover_run(&conf, &e);

	if (r)
		fprintf(stderr, "%s\n", e.text);
	return r;
}

/* True: the child was killed after call `at`; false: it made fewer, and is done. */
static bool run_and_kill(int at, size_t write_max)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		faults.on = true;
		faults.after = count;
		faults.write_max = write_max;
		kill_at = at;
		_exit(take_over() ? 1 : 0);
	}
	if (waitpid(pid, &status, 0) != pid)
		abort();
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return false;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return true;
	fprintf(stderr, "the take-over failed by itself\n");
	abort();
}

static int remove_entry(void *arg, const char *name)
{
	char path[512];

	(void)arg;
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	return unlink(path);
}

static void begin(const char *source)
{
	if (fsx_list(folder, remove_entry, NULL) || fsx_copy(source, checkpoint, 0600) ||
	    fsx_replace(cdi, SV("{}"), 0644, 0))
		abort();
}

static size_t claims(void)
{
	struct ledger_file *f;
	struct err e = { "" };
	size_t n;

	if (ledger_file_read(ledger, &f, &e) || f->corrupt_n || f->lost)
		abort();
	n = f->claims_n;
	ledger_file_free(&f);
	return n;
}

static void check(bool ok, int first, int second)
{
	if (ok)
		return;
	fprintf(stderr, "killed after call %d, then after call %d\n", first, second);
	exit(1);
}

/* The state file goes when the ledger has everything, and the half-done claim's file before that.
 */
static bool holds(void)
{
	if (fsx_exists(checkpoint) == fsx_exists(aside))
		return false;
	return fsx_exists(checkpoint) || (claims() == 2 && !fsx_exists(cdi));
}

static bool sweep_from(const char *source, int first, int second_max, size_t write_max)
{
	bool killed = false;

	for (int second = 0; second <= second_max; second++) {
		begin(source);
		killed = run_and_kill(first, write_max);
		check(holds(), first, 0);
		if (second) {
			(void)run_and_kill(second, write_max);
			check(holds(), first, second);
		}
		check(take_over() == 0 && holds() && claims() == 2 && fsx_exists(aside), first,
		      second);
	}
	return killed;
}

int main(void)
{
	static const size_t write_max[] = { 0, 170 };
	const char *source = TEST_SOURCE_DIR "/fuzz/corpus/checkpoint/two_and_begun";
	int n;

	log_init(LOG_ERROR, false, NULL);
	(void)snprintf(folder, sizeof(folder), "%s/crash_takeover.XXXXXX",
		       access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(folder))
		return 1;
	(void)snprintf(ledger, sizeof(ledger), "%s/ledger", folder);
	(void)snprintf(checkpoint, sizeof(checkpoint), "%s/checkpoint.json", folder);
	(void)snprintf(aside, sizeof(aside), "%s.taken-over", checkpoint);
	(void)snprintf(cdi, sizeof(cdi), "%s/k8s.gpu.nvidia.com-claim_" BEGUN ".yaml", folder);
	for (size_t i = 0; i < ARRAY_LEN(write_max); i++) {
		for (n = 1; sweep_from(source, n, 12, write_max[i]); n++) {
		}
		printf("killed after each of %d calls\n", n - 1);
		if (n < 10)
			return 1; /* the sweep swept nothing */
	}
	if (fsx_list(folder, remove_entry, NULL))
		return 1;
	return rmdir(folder) ? 1 : 0;
}
