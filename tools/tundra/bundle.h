#pragma once
/*
 * What `tundra support-bundle` gathers: one row per member or group of members. Each is written by
 * a process of its own with a limit, and everything goes through bundle_put(), which takes the
 * secrets out: there is no other way into the archive.
 */
#include "tools/tundra/doctor.h"
#include "tools/tundra/redact.h"

enum {
	BUNDLE_FILE_MAX = 4 << 20,   /* bytes of one file; of a log its end */
	BUNDLE_PART_MAX = 24 << 20,  /* of one row's files */
	BUNDLE_TOTAL_MAX = 96 << 20, /* of the archive; it is made in memory */
	BUNDLE_END_MAX = 1 << 20,    /* of that, for its README and its end */
	BUNDLE_FILES_MAX = 32,	     /* of one row: logs, CDI specs */
};

struct bundle {
	const struct doctor *d; /* its checks have run */
	struct redact redact;
	uint64_t now_s;
	struct buf out; /* of this process */
	bool left_out;	/* something did not fit there */
};

struct bundle_part {
	const char *name, *about; /* for the archive's README */
	void (*write)(struct bundle *b);
};
extern const struct bundle_part bundle_parts[];
extern const size_t bundle_parts_n;

/* Values that are secret wherever they stand: our token and keys, the environment's. */
void bundle_know(struct bundle *b, const char *const *environment);
/* One file of the archive, its secrets taken out. What does not fit is noted in left_out. */
void bundle_put(struct bundle *b, const char *name, struct sv content);
/* The end of a file (of 4 MiB at most, in whole lines: half a line may hide what its other half was
 * called), or a line that says why there is none. */
void bundle_put_file(struct bundle *b, const char *name, const char *path);
/* Runs all rows and appends the whole archive to `out`. */
void bundle_make(struct bundle *b, struct buf *out);

/* bundle_facts.c, bundle_cluster.c */
void part_doctor(struct bundle *b);
void part_versions(struct bundle *b);
void part_kernel(struct bundle *b);
void part_driver(struct bundle *b);
void part_folders(struct bundle *b);
void part_runtime(struct bundle *b);
void part_environment(struct bundle *b);
void part_logs(struct bundle *b);
void part_status(struct bundle *b);
void part_metrics(struct bundle *b);
void part_ledger(struct bundle *b);
void part_objects(struct bundle *b);
