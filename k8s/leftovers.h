#pragma once
/*
 * What instances leave in the kubelet's folders when they are killed: temporary files and, of a
 * pod that never comes back, sockets. Whoever has the ledger tidies up, once, some time later: what
 * was left then and still is now belongs to nobody. A file of a living instance that is taken for
 * left is made anew by it (core/fsx, k8s/cdi, k8s/ledger), so a slow disk is no danger either.
 */
#include "core/loop.h"

struct leftovers;

/* Temporary files of core/fsx in `folder` and, unless `begin` is NULL, sockets "<begin>*<end>",
 * also under the hidden name that transport/sock binds first. Texts are copied. */
struct leftovers_place {
	const char *folder, *begin, *end;
};

enum { LEFTOVERS_MS = 30000 }; /* between the two looks */

struct leftovers *leftovers_new(struct loop *l, const struct leftovers_place *places, size_t n);
void leftovers_free(struct leftovers **l);
/* Looks now, and removes behind LEFTOVERS_MS. */
void leftovers_begin(struct leftovers *l);
void leftovers_stop(struct leftovers *l); /* the ledger is another's now */
