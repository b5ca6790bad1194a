#pragma once
/*
 * Kubernetes Events, the way a user hears of trouble: on the claim, the node, the pod. The same
 * (object, reason, text) within 10 minutes is told once; at most EVENTS_PER_MINUTE are sent, and a
 * 403 silences the module for 10 minutes, with one log line for all of them. Never in the way of
 * anything: fire and forget.
 */
#include "core/base.h"
#include "core/loop.h"

enum { EVENTS_PER_MINUTE = 60, EVENTS_RECENT = 32 };

struct api;
struct events;
struct events_object {
	const char *api_version, *kind, *namespace, *name,
	    *uid; /* namespace NULL: cluster scoped */
};
struct events *events_new(struct loop *l, struct api *api, const char *component, const char *node);
void events_free(struct events **e);
/* Type Warning; the reason is a row of k8s/reasons.c. `e` NULL: nobody is told. */
void events_warn(struct events *e, const struct events_object *o, const char *reason,
		 const char *fmt, ...) PRINTF(4, 5);
void events_note(struct events *e, const struct events_object *o, const char *reason,
		 const char *fmt, ...) PRINTF(4, 5); /* type Normal */
uint64_t events_sent(const struct events *e);
/*
 * The last EVENTS_RECENT that were told, newest first, whether or not the API server took them: who
 * looks at the node itself may be there because it did not. Views are valid during the callback.
 */
struct events_told {
	const char *type, *reason, *message, *kind, *namespace, *name; /* namespace may be "" */
	uint64_t wall_ms, count; /* the last time; how often, less than 10 minutes apart */
};
void events_each(const struct events *e, void (*fn)(void *arg, const struct events_told *t),
		 void *arg);
bool events_forbidden(const struct events *e); /* the last answer was a 403 */
