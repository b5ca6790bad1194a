#pragma once
/* Asks the host worker whether a process has a GPU's device node open: for garbage collection. */
#include "core/worker.h"
#include "gpu/inventory.h"

struct in_use;
struct in_use *in_use_new(struct loop *l, const struct worker_host *host, struct inventory *inv);
void in_use_free(struct in_use **u); /* a pending question is not answered */
/* struct gc_conf.in_use; ctx is the struct in_use. One question at a time, as gc asks. */
void in_use_ask(void *ctx, const char *const *identities, size_t n,
		void (*answer)(void *arg, int in_use), void *arg);
/* Of the last answer, if it was yes: "4711 (python3), ..."; valid until the next question. */
const char *in_use_who(void *ctx); /* struct gc_conf.who; ctx is the struct in_use */
const struct worker_stats *in_use_worker(const struct in_use *u);
