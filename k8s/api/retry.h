#pragma once
/* Which failures are tried again, and when. Pure: the client keeps the clock and the state. */
#include "k8s/api/client.h"

struct retry_case {
	enum api_verb verb;
	enum api_retry policy;
	int status, http;	 /* as in api_result */
	uint32_t retry_after_ms; /* told by the server, 0 = not */
	bool sent;		 /* the server may have acted */
};

/* May this failure be tried again under the policy? (NEVER is the client's own business.) */
bool retry_may(const struct retry_case *c);
/*
 * The delay before the next try: the greater of our own backoff and what the server told (with
 * jitter by `l`). False when it would come after the deadline, `left_ms` from now.
 */
bool retry_when(const struct retry_case *c, uint64_t backoff_ms, uint64_t left_ms, struct loop *l,
		uint64_t *delay_ms);
