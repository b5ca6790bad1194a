#pragma once
/* Shared by controllers.c, scheduler.c, claim_controller.c and collector.c. */
#include "test/lib/controllers.h"
#include "test/lib/jx.h"

struct controllers {
	struct loop *loop;
	struct controllers_conf conf;
	struct store *store;
	const struct store_kind *pods, *claims, *templates, *nodes;
	struct store_watch *watch;
	json_t *queue; /* uids of pods, in the order they came */
	struct loop_task work;
};

void controllers_line(struct controllers *c, const char *fmt, ...) PRINTF(2, 3);
bool controllers_done(const json_t *pod); /* Succeeded, Failed */

void scheduler_event(struct controllers *c, const struct store_event *ev); /* keeps the queue */
/* Each looks at everything and does what is due; true when it wrote. */
bool scheduler_work(struct controllers *c);
bool claim_controller_work(struct controllers *c);
/* Deletes what the deleted object owned, or a new object whose owner is not there. */
void collector_event(struct controllers *c, const struct store_event *ev);

/* Name of the claim behind an entry of a pod's spec.resourceClaims; "" when not made yet. */
const char *controllers_claim_name(const json_t *pod, const json_t *entry);
