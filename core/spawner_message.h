#pragma once
/* What tundra and the spawner say to each other: one message, one packet, in the machine's order.
 */
#include "core/spawner.h"

enum spawner_kind {
	SPAWNER_START = 1, /* to the spawner, with the worker's socket */
	SPAWNER_KILL,	   /* SIGKILL; of one that is not there: told as ended */
	SPAWNER_STARTED,   /* from it: value is the pid */
	SPAWNER_ENDED,	   /* value is the wait status */
};
struct spawner_message {
	uint32_t kind, id; /* id: chosen by tundra, never 0 */
	int32_t value;
	char role[SPAWNER_ROLE_MAX + 1]; /* of SPAWNER_START */
};
