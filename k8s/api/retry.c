#include "k8s/api/retry.h"

#include <errno.h>

enum {
	BUSY_MS = 1000,	     /* 429 without a header, as client-go */
	TOLD_CAP_MS = 10000, /* WAIT: a caller with a deadline looks again after this */
	SPREAD_MS = 2000,    /* on top of a time told, which a whole fleet is told at once */
	LAST_TRY_MS = 1000,  /* before the deadline; enough for one answer */
};

/* The same request may be sent again without doing harm. */
static bool harmless(const struct retry_case *c)
{
	if (c->status == API_BUSY || !c->sent)
		return true;
	/* A server that says when to come back has not acted. */
	return c->verb != API_CREATE || (c->status == API_SERVER && c->retry_after_ms);
}

/* Trouble that passes by itself. */
static bool passing(const struct retry_case *c)
{
	bool wait = c->policy == API_RETRY_WAIT;

	switch (c->status) {
	case API_BUSY:
		return true;
	case API_SERVER:
		return wait || c->http == 502 || c->http == 503 || c->http == 504 ||
		       c->retry_after_ms;
	case API_UNAUTHORIZED:
	case API_FORBIDDEN:
	case API_NOT_SERVED:
	case -EBADMSG:
		return wait;
	case -E2BIG:
	case -EINVAL:
		return wait && !c->sent;
	default:
		return c->status < 0;
	}
}

bool retry_may(const struct retry_case *c)
{
	must(c->policy != API_RETRY_NEVER && c->status);
	return passing(c) && harmless(c);
}

bool retry_when(const struct retry_case *c, uint64_t backoff_ms, uint64_t left_ms, struct loop *l,
		uint64_t *delay_ms)
{
	bool wait = c->policy == API_RETRY_WAIT;
	uint64_t told = c->retry_after_ms, spread;

	if (c->status == API_BUSY && !told)
		told = BUSY_MS;
	if (wait)
		told = MIN(told, TOLD_CAP_MS);
	spread = MIN(told / 2, (uint64_t)SPREAD_MS) + 1;
	/* Never before the time told, and not all callers at the same moment. */
	*delay_ms = MAX(backoff_ms, told ? told + loop_random(l) % spread : 0);
	/* Who waits until a deadline wants a last look shortly before it. */
	if (wait && left_ms > 2 * (uint64_t)LAST_TRY_MS)
		*delay_ms = MIN(*delay_ms, left_ms - LAST_TRY_MS);
	return *delay_ms < left_ms;
}
