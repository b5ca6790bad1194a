#pragma once
/*
 * What instances leave in the kubelet's folders when they are killed: temporary files and, of a
 * pod that never comes back, sockets; the kubelet dials each registration socket every 5 s for as
 * long as the file is there. Whoever has the ledger tidies up, a few times, until a predecessor
 * that was slow to end is gone as well.
 *
 * A socket at which nobody listens goes at once: it gets its name when it listens
 * (sock_listen_unix()). A temporary file goes when it is still there the next time. One of a living
 * instance that is taken for left is made anew by it (core/fsx, k8s/cdi, k8s/ledger).
 */
#include "core/loop.h"

struct leftovers;

/*
 * Temporary files of core/fsx in `folder` and, unless `name` is NULL, sockets "<name><end>" and
 * "<name>-...<end>", also under the hidden name that transport/sock binds first. Texts are copied.
 */
struct leftovers_place {
	const char *folder, *name, *end;
	const char *own; /* a socket's path that is not looked at: whoever dials it wakes us */
};

/* Longer than the 60 s that a pod is given to end before it is killed; a temporary file takes two.
 */
enum { LEFTOVERS_MS = 62000, LEFTOVERS_LOOKS = 3 };

struct leftovers *leftovers_new(struct loop *l, const struct leftovers_place *places, size_t n);
void leftovers_free(struct leftovers **l);
/* Looks now, and LEFTOVERS_LOOKS times in all. */
void leftovers_begin(struct leftovers *l);
void leftovers_stop(struct leftovers *l); /* the ledger is another's now */
