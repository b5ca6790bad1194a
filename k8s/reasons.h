#pragma once
/*
 * Every reason that our Events have, with what it means and what to do: for the reference page. A
 * test holds it against the calls of events_warn() and events_note() in the source.
 */
#include "core/base.h"

struct event_reason {
	const char *reason;
	bool warning;
	const char *on;	   /* kind of the object */
	const char *means; /* one sentence */
	const char *fix;
};
extern const struct event_reason event_reasons[];
extern const size_t event_reasons_n;
