#pragma once
/*
 * The disk below a simulated node: what was written, what would survive a loss of power, and the
 * failures of single system calls. It stands before libc's calls (test/lib/faults.h), so all code
 * above it is the product's.
 */
#include "core/buf.h"

void files_begin(void);	      /* of a run: nothing is remembered, nothing fails */
uint64_t files_changes(void); /* so far: a content or a name */
uint64_t files_syncs(void);
/* What the file at `path` held when it was last synced; nothing if it never was. */
void files_durable(const char *path, struct buf *out);
/* `call` NULL: the n-th call from now fails, once; else each such call from the n-th on. */
void files_fail(const char *call, int n, int code);
/*
 * From now on calls are opening, writing, locking, making folders and binding sockets too, as far
 * as they are about the folders of plugins and CDI.
 */
void files_count_all(void);
int files_calls(void); /* that could have failed, since files_fail() or files_count_all() */
const char *files_failed(void); /* the call that files_fail() hit, "" = none yet */
void files_full(size_t bytes);	/* that many bytes more, then the disk is full */

/*
 * A process that dies. Nodes are told apart by their paths, which have "/by-<n>/" in them (struct
 * lab, own_paths). Behind the n-th call of node `who` that changes a file, counted from now, no
 * call of it has any effect, and nobody's bytes leave, until its body is taken away: what it did in
 * that turn behind its death never was. n 0: they are only counted.
 */
void files_kill(unsigned who, unsigned n);
void files_die(void); /* now, between two turns */
bool files_dead(void);
void files_buried(void);
unsigned files_death_calls(void); /* of `who`, that changed a file */

/*
 * The power fails: of a folder what was not synced is as `how` says; names are those of the last
 * sync of the folder, or the newest.
 */
enum files_loss {
	FILES_NEWEST, /* all of it reached the disk by itself */
	FILES_OLDEST, /* none of it */
	FILES_EMPTY,  /* names did, contents did not */
	FILES_TORN,   /* names did, of contents the first half */
	FILES_LOSSES,
};
void files_power_loss(const char *folder, enum files_loss how);

void files_well(void);
bool files_failing(void);
bool files_were_failing(void); /* since this was asked last */
