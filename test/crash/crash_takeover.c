/*
 * kill -9 after each system call of a take-over, then of the take-over that follows; one more is
 * let through. Whenever it dies, a prepared claim is in the driver's state file or in our ledger,
 * and in the end every one is in the ledger, once.
 */
#include <stdio.h>

#include "core/fsx.h"
#include "core/log.h"
#include "core/mem.h"
#include "k8s/ledger_file.h"
#include "k8s/takeover.h"
#include "test/crash/kill.h"

#define BOOT  "5c3f8f4e-0000-4000-8000-000000000001"
#define BEGUN "2e8e2c1f-9b1d-4f7e-b0a4-1d4f6a1b0003"

static char folder[64], ledger[96], checkpoint[96], aside[128], cdi[160];

static int take_over(void *arg)
{
	const struct takeover_conf conf = { .folder = folder,
					    .ledger = ledger,
					    .cdi = folder,
					    .driver = "gpu.nvidia.com",
					    .pool = "node-1",
					    .boot_id = BOOT };
	struct err e = { "" };
	int r = takeover_run(&conf, &e);

	(void)arg;
	if (r)
		fprintf(stderr, "%s\n", e.text);
	return r;
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
		killed = kill_after(first, write_max, take_over, NULL);
		check(holds(), first, 0);
		if (second) {
			(void)kill_after(second, write_max, take_over, NULL);
			check(holds(), first, second);
		}
		check(take_over(NULL) == 0 && holds() && claims() == 2 && fsx_exists(aside), first,
		      second);
	}
	return killed;
}

static bool rename_synced;

static void note_call(const char *call, int fd)
{
	(void)fd;
	if (!strcmp(call, "rename"))
		rename_synced = false;
	rename_synced = rename_synced || !strcmp(call, "fsync");
}

/* Or the state file is back after a power loss, with claims that were given back meanwhile. */
static void check_last_rename(const char *source)
{
	begin(source);
	faults.on = true;
	faults.after = note_call;
	check(take_over(NULL) == 0 && holds() && rename_synced, 0, 0);
	faults_off();
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
	check_last_rename(source);
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
